# unifloral.c: `make demo` and `make test` set themselves up; `make help` lists the rest.
# Parses without gcc and pkg-config, so that `make deps` can install them.

VERSION := $(shell sed -n 's/.*UF_VERSION "\(.*\)".*/\1/p' unifloral.h)
PREFIX ?= /usr/local
DESTDIR ?=
BUILD ?= build
JOBS ?= $(shell nproc 2>/dev/null || echo 1)
ifeq ($(origin CC),default)
CC = gcc
endif

# ---- what the machine has ----

# The CUDA backend: 1 where nvcc is, 0 without it; host: the .cu files compiled for the host, which only tests want.
NVCC ?= nvcc
CUDA ?= $(if $(SANITIZE),0,$(if $(shell command -v $(NVCC) 2>/dev/null),1,0))

# name:package; libraries are asked for by their pkg-config name.
TOOLS     = gcc:gcc pkg-config:pkg-config $(if $(filter host,$(CUDA)),g++:g++)
LIBRARIES = openblas:libopenblas-dev hdf5:libhdf5-dev libcjson:libcjson-dev zlib:zlib1g-dev
CHARTS    = cairo:libcairo2-dev
GIFS      = libgif:libgif-dev
STORE     = sqlite3:libsqlite3-dev
PHYSICS   = mujoco:libmujoco-dev
# Processes that share a search: of the program alone, the library does without.
PROCESSES = ompi-c:libopenmpi-dev
# An off-screen OpenGL context for MuJoCo's renderer: EGL with Mesa's driver, or OSMesa where only that is there.
OFFSCREEN = $(if $(call has_lib,egl),$(EGL),$(if $(call has_lib,osmesa),osmesa:libosmesa6-dev,$(EGL)))
EGL       = egl:libegl-dev /usr/lib/*/dri/swrast_dri.so:libgl1-mesa-dri
TESTING   = cmocka:libcmocka-dev
FILES     = /usr/include/stdio.h:libc6-dev /usr/bin/orterun:openmpi-bin /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf:fonts-dejavu-core

name     = $(firstword $(subst :, ,$(1)))
package  = $(lastword $(subst :, ,$(1)))
has_tool = $(shell command -v $(1) >/dev/null 2>&1 && echo yes)
has_lib  = $(shell pkg-config --exists $(1) 2>/dev/null && echo yes)
# MuJoCo brings no .pc file: whether a program that uses it compiles and links.
has_physics = $(shell printf '\043include <mujoco/mujoco.h>\nint main(void) { return mj_version() == 0; }\n' | \
	$(CC) $(CPPFLAGS) -x c - $(LDFLAGS) -lmujoco -o /dev/null 2>/dev/null && echo yes)
absent   = $(foreach t,$(TOOLS),$(if $(call has_tool,$(call name,$(t))),,$(t))) \
           $(foreach l,$(LIBRARIES) $(CHARTS) $(GIFS) $(STORE) $(PROCESSES) $(filter-out /%,$(OFFSCREEN)) $(TESTING),$(if $(call has_lib,$(call name,$(l))),,$(l))) \
           $(if $(has_physics),,$(PHYSICS)) \
           $(foreach f,$(FILES) $(filter /%,$(OFFSCREEN)),$(if $(wildcard $(call name,$(f))),,$(f)))

PARTS    := $(TOOLS) $(LIBRARIES) $(CHARTS) $(GIFS) $(STORE) $(PROCESSES) $(PHYSICS) $(OFFSCREEN) $(TESTING) $(FILES)
ABSENT   := $(strip $(absent))
NEEDED   := $(strip $(filter $(TOOLS) $(LIBRARIES),$(ABSENT)))
PACKAGES := $(foreach p,$(ABSENT),$(call package,$(p)))
MUJOCO   := $(if $(filter $(PHYSICS),$(ABSENT)),,-lmujoco)
CAIRO    := $(if $(filter $(CHARTS),$(ABSENT)),,cairo)
GIF      := $(if $(filter $(GIFS),$(ABSENT)),,libgif)
SQLITE   := $(if $(filter $(STORE),$(ABSENT)),,sqlite3)
MPI      := $(if $(filter $(PROCESSES),$(ABSENT)),,ompi-c)
GL       := $(if $(MUJOCO),$(call name,$(filter-out $(ABSENT),$(filter-out /%,$(OFFSCREEN)))))
MODULES  := $(foreach l,$(LIBRARIES),$(call name,$(l))) $(CAIRO) $(GIF) $(SQLITE) $(GL)

# ---- flags ----

CFLAGS   ?= -O3 -g
CPPFLAGS += -D_GNU_SOURCE -I. -Itests $(if $(CAIRO),,-DUF_NO_CAIRO) $(if $(MUJOCO),,-DUF_NO_MUJOCO) $(if $(GIF),,-DUF_NO_GIF) \
            $(if $(SQLITE),,-DUF_NO_SQLITE) \
            $(if $(filter-out 0,$(CUDA)),-DUF_CUDA) $(if $(filter host,$(CUDA)),-DUF_HOST_CUDA) \
            $(if $(GL),-DUF_GL_$(if $(filter egl,$(GL)),EGL,OSMESA)) $(shell pkg-config --cflags $(MODULES) 2>/dev/null)
# No -ffast-math: a NaN must stay one. The two -fno- flags change no value; they let loops with sqrt and ?: become vectors.
ALL_C     = -std=gnu11 -Wall -Wextra -Wpedantic -fPIC -fvisibility=hidden -pthread -fopenmp-simd -fno-math-errno \
            -fno-trapping-math $(CFLAGS)
# cudart is linked in and cuBLAS loaded when it is asked for, so that a program with the backend starts anywhere.
CUDA_HOME ?= $(patsubst %/bin/nvcc,%,$(realpath $(shell command -v $(NVCC) 2>/dev/null)))
CUDA_LIBS := $(if $(filter 1,$(CUDA)),-L$(CUDA_HOME)/lib64 -lcudart_static -ldl -lrt) $(if $(filter-out 0,$(CUDA)),-lstdc++)
# Machine code for Ampere and Hopper, PTX for what comes after.
NVCC_FLAGS ?= -O3 -gencode arch=compute_80,code=sm_80 -gencode arch=compute_90,code=sm_90 -gencode arch=compute_90,code=compute_90
LIBS     := $(shell pkg-config --libs $(MODULES) 2>/dev/null) $(MUJOCO) $(CUDA_LIBS) -lm -pthread
MPI_FLAGS := $(if $(MPI),$(shell pkg-config --cflags $(MPI)),-DUF_NO_MPI)
MPI_LIBS  := $(if $(MPI),$(shell pkg-config --libs $(MPI)))
ifeq ($(NATIVE),1)        # portable x86-64 otherwise: the kernels pick their instructions at run time
ALL_C    += -march=native
endif
ifeq ($(SANITIZE),)       # a library does not end its user's program: what it asserts of itself is checked under the sanitizers
CPPFLAGS += -DNDEBUG
endif
ifneq ($(SANITIZE),)      # ifunc resolvers run before a sanitizer is up, so no target_clones there
ALL_C    += -fsanitize=$(SANITIZE) -fno-omit-frame-pointer -DUF_NO_CLONES
ALL_HOST += -fsanitize=$(SANITIZE) -fsanitize-sections=uf_shared -fno-omit-frame-pointer
endif
ALL_HOST += -std=c++17 -fPIC -pthread -Wall -Wextra -Wpedantic -Wno-unknown-pragmas -Itests/cuda_host $(CFLAGS)
# The device's code calls races.cpp before each access; nothing else does, and the thread sanitizer's library stays out.
ifneq ($(RACES),)
ALL_HOST += -DUF_RACES -O1
RACE_FLAGS = -fsanitize=thread --param tsan-instrument-func-entry-exit=0 -fno-tree-pta
RACE_NAMES = $(foreach f,memcpy memmove memset,--redefine-sym $(f)=uf_races_$(f))
endif

# ---- files ----

PROGRAM_C := main.c core/mpi.c $(wildcard cli/*.c)
LIBRARY_C := $(filter-out $(PROGRAM_C),$(wildcard *.c core/*.c core/*/*.c))
CUDA_FILES := $(if $(filter-out 0,$(CUDA)),$(wildcard *.cu core/*.cu core/*/*.cu))
OBJECTS   := $(LIBRARY_C:%.c=$(BUILD)/%.o) $(BUILD)/double.o $(CUDA_FILES:%=$(BUILD)/%.o) \
             $(if $(filter host,$(CUDA)),$(BUILD)/tests/cuda_host/host_cuda.o $(if $(RACES),$(BUILD)/tests/cuda_host/races.o))
# The update once more in double precision, for `unifloral verify`: one object that shows only these functions.
SHOWN     := uf_replay_update_double uf_replay_rollout_double uf_replay_dynamics_double uf_replay_ppo_double uf_replay_bc_double uf_off_policy_parts_double
DOUBLE    := $(patsubst %.c,$(BUILD)/double/%.o,unifloral.c kernels.c kernels_clone.c kernels_td.c core/agents/dynamics.c core/agents/checkpoint.c core/data/loaded.c core/agents/policy.c core/verify/replay.c core/verify/replay_rollout.c core/verify/replay_dynamics.c core/agents/envs_apart.c core/agents/ppo.c core/verify/replay_ppo.c core/verify/replay_bc.c core/agents/off_policy.c core/synth/synth_init.c)
EXAMPLES  := $(patsubst examples/%.c,$(BUILD)/examples/%,$(wildcard examples/*.c))
TESTS     ?= $(wildcard tests/test_*.c tests/test_*.sh)
TEST_RUN  := $(patsubst tests/%.c,$(BUILD)/tests/%,$(TESTS))
TEST_TOOL := $(patsubst tests/tools/%.c,$(BUILD)/tests/%,$(wildcard tests/tools/*.c))
# A test that needs more of the linker: LDFLAGS_test_name = ...
LDFLAGS_test_faults = -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=posix_memalign,--wrap=aligned_alloc
LDFLAGS_test_faults_data = $(LDFLAGS_test_faults)
LDFLAGS_test_distilled = $(LDFLAGS_test_faults)
LDFLAGS_test_model = -Wl,--wrap=uf_model_load,--wrap=uf_model_free,--wrap=aligned_alloc
LDFLAGS_test_mujoco = $(if $(MUJOCO),-Xlinker --wrap=uf_env_reset -Xlinker --wrap=mj_loadXML)
LDFLAGS_test_synthenv = $(LDFLAGS_test_faults)
LDFLAGS_test_synth_make = $(LDFLAGS_test_faults)
LDFLAGS_test_off_policy = $(LDFLAGS_test_faults)
LDFLAGS_test_synth_search = $(LDFLAGS_test_faults)
LDFLAGS_test_synth_agents_draw = $(LDFLAGS_test_faults)
LDFLAGS_test_run = -Wl,--wrap=uf_train,--wrap=uf_evaluate_start,--wrap=uf_env_create,--wrap=uf_env_step

# A plain build lands in the root; others (BUILD=build/asan) keep to their folder.
OUT     := $(if $(filter build,$(BUILD)),.,$(BUILD))
PROGRAM := $(OUT)/unifloral
STATIC  := $(OUT)/libunifloral.a
SHARED  := $(OUT)/libunifloral.so.0

# V=1 shows the commands themselves.
Q   = $(if $(V),,@)
say = @$(if $(V),:,echo "  $(1)")

.PHONY: all check deps demo test test-programs run-tests examples asan tsan test-cuda-host cuda-host-programs cuda-host-asan-programs cuda-host-races-programs test-cuda-host-plain test-cuda-host-asan test-cuda-host-races test-cuda bench datasets datasets-table minigrid-sheet reproduce reproduce-quick readme install uninstall clean help
.DELETE_ON_ERROR:
.PRECIOUS: $(BUILD)/%.o $(BUILD)/%.cu.o $(BUILD)/double/%.o $(BUILD)/tests/% $(BUILD)/examples/%

# ---- build ----

all: $(PROGRAM) $(STATIC) $(SHARED)

check:
	@for part in $(PARTS); do \
		name=$${part%%:*}; name=$${name##*/}; \
		case " $(ABSENT) " in *" $$part "*) line="$$line  ✗ $$name ($${part##*:})";; *) line="$$line  ✓ $$name";; esac; \
	done; echo "$${line#  }  $(if $(filter 0,$(CUDA)),✗ nvcc (no CUDA backend),$(if $(filter 1,$(CUDA)),✓ nvcc,✓ CUDA on the host))"
	@[ -z "$(NEEDED)" ] || { echo "error: cannot build without the parts marked ✗; run: make deps" >&2; exit 1; }

# Objects follow the compiler flags too: this file changes when they do.
FLAGS := $(RACE_FLAGS) $(CC) $(ALL_C) $(CPPFLAGS) $(LIBS) $(MPI_FLAGS) $(MPI_LIBS) $(NVCC_FLAGS) $(ALL_HOST)
$(shell mkdir -p $(BUILD); echo '$(FLAGS)' | cmp -s - $(BUILD)/flags || echo '$(FLAGS)' >$(BUILD)/flags)

$(BUILD)/%.o: %.c $(BUILD)/flags | check
	@mkdir -p $(@D)
	$(call say,cc $<)
	$(Q)$(CC) $(ALL_C) $(CPPFLAGS) -MMD -MP -c -o $@ $<

ifeq ($(CUDA),host)
$(BUILD)/%.cu.o: %.cu $(BUILD)/flags | check
	@mkdir -p $(@D)
	$(call say,c++ $< (for the host))
	$(Q)$(CXX) -x c++ $(ALL_HOST) $(RACE_FLAGS) $(CPPFLAGS) -MMD -MP -c -o $@ $<
	$(if $(RACES),$(Q)objcopy $(RACE_NAMES) $@)
else
$(BUILD)/%.cu.o: %.cu $(BUILD)/flags | check
	@mkdir -p $(@D)
	$(call say,nvcc $<)
	$(Q)$(NVCC) -std=c++17 $(NVCC_FLAGS) $(CPPFLAGS) -Xcompiler -fPIC,-fvisibility=hidden,-Wall,-Wextra -MMD -MP -c -o $@ $<
endif

$(BUILD)/%.o: %.cpp $(BUILD)/flags | check
	@mkdir -p $(@D)
	$(call say,c++ $<)
	$(Q)$(CXX) $(ALL_HOST) $(CPPFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/tests/cuda_host/test_cuda_races: $(BUILD)/tests/cuda_host/races_planted.cu.o

# What env_rules.h, trial_rules.h and grid_step.h compute is rounded twice: the same bits with any instructions, and on a device.
$(BUILD)/core/agents/play.cu.o $(BUILD)/core/agents/train_envs.cu.o $(BUILD)/core/search/trials.cu.o $(BUILD)/navix.cu.o: override NVCC_FLAGS += -fmad=false
$(BUILD)/navix.o $(BUILD)/core/grid/%.o $(BUILD)/core/verify/grid_%.o $(BUILD)/core/search/es.o $(BUILD)/core/normals.o $(BUILD)/core/data/images.o $(BUILD)/core/search/trials.o: override ALL_C += -ffp-contract=off

$(BUILD)/core/mpi.o: override CPPFLAGS += $(MPI_FLAGS)

# Instructions that sm_90 has and no other device.
$(BUILD)/kernels_hopper.cu.o: override NVCC_FLAGS := $(filter-out -gencode arch=%,$(NVCC_FLAGS)) -gencode arch=compute_90a,code=sm_90a

# Clearing a few registers must not become a call that clears memory.
$(BUILD)/kernels.o $(BUILD)/double/kernels.o: override ALL_C += -fno-tree-loop-distribute-patterns

$(BUILD)/core/envs/mujoco.o: $(wildcard envs/mujoco/*.xml)  # it holds them

$(BUILD)/double/%.o: %.c $(BUILD)/flags | check
	@mkdir -p $(@D)
	$(call say,cc $< (double))
	$(Q)$(CC) $(ALL_C) $(CPPFLAGS) -DUF_REAL=double -DUF_DOUBLE_COPY -MMD -MP -c -o $@ $<

$(BUILD)/double.o: $(DOUBLE)
	$(Q)$(LD) -r -o $@ $^
	$(Q)objcopy $(addprefix --keep-global-symbol=,$(SHOWN)) $@

$(PROGRAM): $(PROGRAM_C:%.c=$(BUILD)/%.o) $(STATIC)
	$(call say,ld $@)
	$(Q)$(CC) $(ALL_C) -o $@ $^ $(LDFLAGS) $(LIBS) $(MPI_LIBS)

$(STATIC): $(OBJECTS)
	@rm -f $@
	$(call say,ar $@)
	$(Q)$(AR) rcs $@ $^

$(SHARED): $(OBJECTS)
	$(call say,ld $@)
	$(Q)$(CC) $(ALL_C) -shared -Wl,-soname,libunifloral.so.0 -Wl,--exclude-libs,libcudart_static.a -o $@ $^ $(LDFLAGS) $(LIBS)

$(BUILD)/examples/%: $(BUILD)/examples/%.o $(STATIC)
	$(call say,ld $@)
	$(Q)$(CC) $(ALL_C) -o $@ $^ $(LDFLAGS) $(LIBS)

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(STATIC)
	$(call say,ld $@)
	$(Q)$(CC) $(ALL_C) -o $@ $^ $(LDFLAGS) $(LDFLAGS_$*) -lcmocka $(LIBS)

$(BUILD)/tests/slurm_array $(BUILD)/tests/mpi_ranks_without: $(STATIC)  # behind its object
$(BUILD)/tests/mpi_ranks: $(BUILD)/core/mpi.o $(STATIC)
$(BUILD)/tests/mpi_ranks: override LIBS += $(MPI_LIBS)

$(TEST_TOOL): $(BUILD)/tests/%: $(BUILD)/tests/tools/%.o
	$(call say,ld $@)
	$(Q)$(CC) $(ALL_C) -o $@ $^ $(LDFLAGS) $(LIBS)

examples: $(EXAMPLES)

-include $(wildcard $(BUILD)/*.d $(BUILD)/*/*.d $(BUILD)/*/*/*.d $(BUILD)/*/*/*/*.d)

# ---- packages ----

APT = apt-get install -y --no-install-recommends $(PACKAGES)

deps:
ifneq ($(PACKAGES),)
	@echo "will install: $(PACKAGES)"
	@if ! command -v apt-get >/dev/null; then \
		echo "error: no apt-get here; install the like of: $(PACKAGES)" >&2; exit 1; \
	elif [ "$$(id -u)" = 0 ]; then root=""; \
	elif sudo -n true 2>/dev/null; then root="sudo -n"; \
	else echo "error: packages are missing and this is not root; run: sudo $(APT)" >&2; exit 1; fi; \
	export DEBIAN_FRONTEND=noninteractive; \
	$$root apt-get update -qq && $$root $(APT) >$(BUILD)/apt.log 2>&1 || \
		{ tail -n 5 $(BUILD)/apt.log >&2; echo "error: apt-get failed; see $(BUILD)/apt.log" >&2; exit 1; }
endif

# ---- demo and tests: what pkg-config says has changed after deps, hence the second make ----

DATA = datasets/pendulum-medium-replay.hdf5

demo: deps
	@$(MAKE) --no-print-directory -j$(JOBS) all
	@mkdir -p $(dir $(DATA)); [ -e $(DATA) ] || ./unifloral collect --env pendulum --policy replay --steps 40000 --seed 0 --out $(DATA)
	@rm -rf runs/demo
	@./unifloral train configs/demo.json --out runs/demo

test: deps
	@$(MAKE) --no-print-directory test-programs
	@$(MAKE) --no-print-directory run-tests

test-programs:
	@$(MAKE) --no-print-directory -j$(JOBS) all examples $(filter-out %.sh,$(TEST_RUN)) $(TEST_TOOL)

run-tests:
	@BUILD=$(BUILD) UNIFLORAL=$(PROGRAM) CC="$(CC)" SANITIZE=$(SANITIZE) bash tests/run_tests.sh $(TEST_RUN)

asan:
	@$(MAKE) --no-print-directory test BUILD=build/asan SANITIZE=address,undefined CFLAGS="-O1 -g"

tsan:
	@$(MAKE) --no-print-directory test BUILD=build/tsan SANITIZE=thread CFLAGS="-O1 -g" \
		TESTS="$(wildcard $(patsubst %,tests/test_%.c,core kernels clone agent model evaluate mujoco dynamics run hades off_policy))"

# The .cu files without a GPU: compiled for the host (tests/cuda_host), which runs what a device would; then once more under
# the sanitizers, of each op the first shapes, side by side. The tests of agents run twice, the second time on the device.
CUDA_TESTS = tests/test_kernels.c tests/cuda/test_cuda_agent.c tests/cuda/test_cuda_grid.c tests/cuda/test_cuda_off_policy.c tests/cuda/test_cuda_ppo.c tests/cuda/test_cuda_rules.c tests/cuda/test_cuda_synth.c tests/cuda/test_cuda_trials.c tests/cuda/test_cuda_cli.sh
HOST_TESTS = tests/cuda_host/test_cuda_errors.c
DEVICE_TESTS = tests/test_agent.c tests/test_clone.c tests/test_discrete.c tests/test_dynamics.c tests/test_hades.c tests/test_model.c tests/test_online.c tests/test_play.c tests/test_synth_make.c tests/test_synth_search.c
CUDA_HOST = BUILD=build/cuda_host CUDA=host
CUDA_HOST_ASAN = BUILD=build/cuda_host_asan CUDA=host SANITIZE=address,undefined CFLAGS="-O1 -g"
# Once more with races looked for: tests/cuda_host/races.cpp.
CUDA_HOST_RACES = BUILD=build/cuda_host_races CUDA=host RACES=1
RACE_TESTS = tests/cuda_host/test_cuda_races.c $(filter %.c,$(CUDA_TESTS))
# What both sides run at once takes about as long: agents are the half of the tests on the device.
LONG_TESTS = tests/test_agent.c
test-cuda-host:
	@$(MAKE) --no-print-directory deps CUDA=host
	@$(MAKE) --no-print-directory -j2 cuda-host-programs cuda-host-asan-programs
	@$(MAKE) --no-print-directory cuda-host-races-programs
	@$(MAKE) --no-print-directory -j2 test-cuda-host-plain test-cuda-host-asan

cuda-host-programs:
	@$(MAKE) --no-print-directory test-programs $(CUDA_HOST) TESTS="$(CUDA_TESTS) $(HOST_TESTS) $(DEVICE_TESTS)"

cuda-host-asan-programs:
	@$(MAKE) --no-print-directory test-programs $(CUDA_HOST_ASAN) TESTS="$(filter %.c,$(CUDA_TESTS)) $(HOST_TESTS) tests/test_play.c"

cuda-host-races-programs:
	@$(MAKE) --no-print-directory test-programs $(CUDA_HOST_RACES) TESTS="$(RACE_TESTS)"

test-cuda-host-races: cuda-host-races-programs
	@UF_TEST_CASES=3 $(MAKE) --no-print-directory run-tests $(CUDA_HOST_RACES) TESTS="$(RACE_TESTS)"

test-cuda-host-plain:
	@$(MAKE) --no-print-directory run-tests $(CUDA_HOST) TESTS="$(CUDA_TESTS) $(HOST_TESTS)"
	@UF_TEST_DEVICE=cuda $(MAKE) --no-print-directory run-tests $(CUDA_HOST) TESTS="$(filter-out $(LONG_TESTS),$(DEVICE_TESTS))"

test-cuda-host-asan:
	@UF_TEST_CASES=6 $(MAKE) --no-print-directory run-tests $(CUDA_HOST_ASAN) TESTS="$(filter %.c,$(CUDA_TESTS)) $(HOST_TESTS)"
	@UF_TEST_DEVICE=cuda $(MAKE) --no-print-directory run-tests $(CUDA_HOST_ASAN) TESTS="tests/test_play.c"
	@UF_TEST_DEVICE=cuda $(MAKE) --no-print-directory run-tests $(CUDA_HOST) TESTS="$(LONG_TESTS)"
	@$(MAKE) --no-print-directory test-cuda-host-races

# On a machine with a GPU; elsewhere it says that it skips.
DEVICE_PROGRAMS = $(patsubst tests/%.c,$(BUILD)/tests/%,$(DEVICE_TESTS))
test-cuda:
ifeq ($(CUDA),1)
	@$(MAKE) --no-print-directory all $(patsubst tests/%.c,$(BUILD)/tests/%,$(filter %.c,$(CUDA_TESTS))) $(DEVICE_PROGRAMS)
	@BUILD=$(BUILD) UNIFLORAL=$(PROGRAM) CUDA_TESTS="$(CUDA_TESTS:tests/%.c=$(BUILD)/tests/%)" \
		DEVICE_PROGRAMS="$(DEVICE_PROGRAMS)" bash tests/cuda/run.sh
else
	@echo "SKIP test-cuda: this build has no CUDA backend (CUDA=$(CUDA)); it needs nvcc on the PATH"
endif

bench: all
	@./unifloral bench --config configs/td3_awr.json --obs-dim 17 --action-dim 6 --threads 1 --steps 20

# The locomotion sets; TASKS, STEPS, ROWS and folders as bench/datasets.sh says. Stopped, the same command goes on.
datasets: all
	@UNIFLORAL=$(PROGRAM) bash bench/datasets.sh

# The table of the made ones in datasets/README.md.
datasets-table: all
	@UNIFLORAL=$(PROGRAM) bash bench/datasets.sh --table >$(BUILD)/datasets.md
	@sed -i -e '/^<!-- made -->$$/,/^<!-- \/made -->$$/{/^<!-- made -->$$/r $(BUILD)/datasets.md' \
		-e '/^<!-- /!d}' datasets/README.md

# docs/images/minigrid.png: a level of each family.
SHEET = Empty-8x8-v0 DoorKey-8x8-v0 FourRooms-v0 LavaGapS7-v0 SimpleCrossingS9N3-v0 LavaCrossingS11N5-v0 DistShift1-v0 \
        Dynamic-Obstacles-8x8-v0 GoToDoor-8x8-v0 GoToObject-8x8-N2-v0 Fetch-8x8-N3-v0 PutNear-8x8-N3-v0 \
        KeyCorridorS4R3-v0 Unlock-v0 UnlockPickup-v0 BlockedUnlockPickup-v0 ObstructedMaze-Full-v1 LockedRoom-v0 \
        MemoryS13-v0 MultiRoom-N6-v0 RedBlueDoors-8x8-v0 Playground-v0
minigrid-sheet: all
	@./unifloral render $(addprefix MiniGrid-,$(SHEET)) --seed 1 -o docs/images/minigrid.png

# Every preset, three seeds: docs/reproduction.md. ARGS="--dataset /path/to/hopper-medium-v2.hdf5 --jobs 8", say.
reproduce: all
	@bench/reproduce.sh $(ARGS)

reproduce-quick: all
	@bench/reproduce.sh --quick $(ARGS)

# The hyperparameter tables of README.md from params.def, ppo.def, hades.def and synthenv.def; a test compares.
readme: all
	@$(PROGRAM) help --markdown >$(BUILD)/params.md
	@for t in ppo hades synthenv; do $(PROGRAM) help --markdown $$t >$(BUILD)/$$t.md; done
	@for t in params ppo hades synthenv; do \
		sed -i -e "/^<!-- $$t -->\$$/,/^<!-- \/$$t -->\$$/{/^<!-- $$t -->\$$/r $(BUILD)/$$t.md" -e '/^<!-- /!d}' README.md; done

# ---- install ----

ROOT = $(DESTDIR)$(PREFIX)

install: all
	install -d $(ROOT)/bin $(ROOT)/lib/pkgconfig $(ROOT)/include $(ROOT)/share/unifloral/python
	install -m 755 $(PROGRAM) $(ROOT)/bin/
	install -m 644 unifloral.h navix.h hades.h synthenv.h $(ROOT)/include/
	install -m 644 $(STATIC) $(ROOT)/lib/
	install -m 755 $(SHARED) $(ROOT)/lib/
	ln -sf libunifloral.so.0 $(ROOT)/lib/libunifloral.so
	install -m 644 python/unifloral_navix.py $(ROOT)/share/unifloral/python/
	sed -e 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(VERSION)|; s|@MODULES@|$(MODULES)|; s|@MUJOCO@|$(MUJOCO)|; s|@CUDA@|$(CUDA_LIBS)|' unifloral.pc.in \
		>$(ROOT)/lib/pkgconfig/unifloral.pc

uninstall:
	rm -f $(ROOT)/bin/unifloral $(ROOT)/include/unifloral.h $(ROOT)/include/navix.h $(ROOT)/include/hades.h $(ROOT)/include/synthenv.h $(ROOT)/lib/pkgconfig/unifloral.pc \
		$(addprefix $(ROOT)/lib/,libunifloral.a libunifloral.so libunifloral.so.0)
	rm -rf $(ROOT)/share/unifloral

clean:
	rm -rf build unifloral libunifloral.a libunifloral.so.0

help:
	@echo "make            ./unifloral, libunifloral.a and libunifloral.so.0 (objects in build/)"
	@echo "make demo       installs what is missing, builds, makes a dataset, trains TD3-AWR, evaluates"
	@echo "make test       installs what is missing, builds, runs every test"
	@echo "make check      shows what is there (✓) and what is missing (✗ with its package)"
	@echo "make deps       installs the missing packages (as root or by passwordless sudo)"
	@echo "make examples   the programs of examples/, in build/examples/"
	@echo "make asan       the whole suite under the address and undefined-behaviour sanitizers"
	@echo "make tsan       tests with threads under the thread sanitizer"
	@echo "make test-cuda-host   kernels.cu compiled for the host: its tests without a GPU, also under the sanitizers"
	@echo "make test-cuda-host-races   the same with a detector of races between threads, warps, blocks and streams"
	@echo "make test-cuda  on a machine with a GPU: conformance, verify, agents, compute-sanitizer"
	@echo "make bench      one line of JSON: speed of the TD3-AWR update on one thread"
	@echo "make datasets   the locomotion sets, by SAC from nothing; TASKS='hopper ...' STEPS=300000 ROWS=100000; resumable"
	@echo "make datasets-table   datasets/README.md's table of those that are made"
	@echo "make minigrid-sheet   docs/images/minigrid.png: a level of each family of gridworlds"
	@echo "make reproduce  every preset with three seeds on every dataset, to docs/reproduction.md; ARGS=... for bench/reproduce.sh"
	@echo "make reproduce-quick   the same with few updates on two datasets"
	@echo "make readme     README.md's tables of hyperparameters from params.def, ppo.def, hades.def and synthenv.def"
	@echo "make install    PREFIX=$(PREFIX) DESTDIR=$(DESTDIR); make uninstall takes it away"
	@echo "make clean      removes what was built; runs/ and datasets/ stay"
	@echo "Variables: V=1 (show commands), NATIVE=1 (-march=native), CC, CFLAGS, LDFLAGS, BUILD, SANITIZE, TESTS='tests/test_x.c ...'"
