// dlfcn.h: "loading" cuBLAS finds the functions of host_cuda.cpp.
#ifndef UF_HOST_DLFCN_H
#define UF_HOST_DLFCN_H

enum { RTLD_NOW = 2, RTLD_LOCAL = 0, RTLD_NODELETE = 0x1000 };

void* uf_host_dlopen(const char* name);
void* uf_host_dlsym(const char* name);
void uf_host_dlclose();

inline void* dlopen(const char* name, int flags) {
    (void)flags;
    return uf_host_dlopen(name);
}
inline void* dlsym(void* library, const char* name) {
    (void)library;
    return uf_host_dlsym(name);
}
inline int dlclose(void* library) {
    (void)library;
    uf_host_dlclose();
    return 0;
}
inline const char* dlerror() { return "no such file"; }

#endif
