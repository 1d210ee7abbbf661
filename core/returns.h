// returns.h: files of returns that a finished run leaves behind: agents.h5, ratings.h5, returns.h5.
#ifndef UF_RETURNS_H
#define UF_RETURNS_H

#include "core.h"

// Kinds (attribute `kind`) of files that are nothing but returns of policies, (policies, episodes) or (episodes), and the
// configuration that they come from. Images: losses and accuracies (policies, 2).
#define UF_RETURNS_OF_AGENTS "unifloral-synthenv-agents"
#define UF_RETURNS_OF_CLONES "unifloral-hades-ratings"
#define UF_RETURNS_OF_PPO "unifloral-ppo-returns"

// What such a file holds, in lines of text; free with uf_free.   Errors: UF_ERR_IO, UF_ERR_FORMAT.
UfStatus uf_returns_info(const char* path, char** text);

#endif
