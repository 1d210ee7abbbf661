// minatar.h: the rules of MinAtar's Breakout, Asterix, SpaceInvaders and Freeway, as in gymnax 0.0.6.
#ifndef UF_MINATAR_H
#define UF_MINATAR_H

#include <stdint.h>

enum { UF_MINATAR_SIDE = 10, UF_MINATAR_CELLS = 100, UF_MINATAR_MAX_OBS = 700 };

#endif
