// gif.c: animations as GIF files, by giflib.
//
// Each frame has its own palette of 255 colours, chosen for the pixels that are not as they were; the others are
// transparent, which keeps them as they are and files small.
#include "core/pictures/gif.h"

#ifdef UF_NO_GIF

UfStatus uf_gif_open(UfGif** out, const char* path, int width, int height) {
    (void)width, (void)height;
    *out = NULL;
    return UF_FAIL(UF_ERR_UNSUPPORTED,
                   "%s: this build writes no GIF; install libgif-dev and build again, or write a .png", path);
}

UfStatus uf_gif_add(UfGif* gif, const uint32_t* pixels, int stride, int centiseconds) {
    (void)gif, (void)pixels, (void)stride, (void)centiseconds;
    return UF_FAIL(UF_ERR_UNSUPPORTED, "this build writes no GIF");
}

UfStatus uf_gif_close(UfGif* gif) { return uf_gif_add(gif, NULL, 0, 0); }

void uf_gif_abandon(UfGif* gif) { (void)gif; }

#else

#include <errno.h>
#include <fcntl.h>
#include <gif_lib.h>
#include <string.h>
#include <unistd.h>  // unlink

enum { COLOURS = 255, TRANSPARENT = 255 };

struct UfGif {
    GifFileType* file;
    char *path, *temporary;
    int width, height;
    bool begun;
    uint32_t* before;                          // (height, width): the picture so far
    GifByteType *red, *green, *blue, *chosen;  // of the changed pixels, one after the other
    GifByteType* row;
};

static UfStatus write_failed(const UfGif* gif, int error) {
    const char* reason = GifErrorString(error);
    return UF_FAIL(UF_ERR_IO, "%s: cannot write the animation: %s", gif->path,
                   reason ? reason : "unknown error");
}

static void release(UfGif* gif) {
    void* all[] = {gif->path,  gif->temporary, gif->before, gif->red,
                   gif->green, gif->blue,      gif->chosen, gif->row};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) uf_free(all[i]);
    uf_free(gif);
}

void uf_gif_abandon(UfGif* gif) {
    if (!gif) return;
    if (gif->file) EGifCloseFile(gif->file, NULL);
    if (gif->temporary) unlink(gif->temporary);
    release(gif);
}

// The extension by which viewers repeat an animation for ever.
static bool put_header(UfGif* gif) {
    GifFileType* f = gif->file;
    EGifSetGifVersion(f, true);
    return EGifPutScreenDesc(f, gif->width, gif->height, 8, 0, NULL) == GIF_OK &&
           EGifPutExtensionLeader(f, APPLICATION_EXT_FUNC_CODE) == GIF_OK &&
           EGifPutExtensionBlock(f, 11, "NETSCAPE2.0") == GIF_OK &&
           EGifPutExtensionBlock(f, 3, (GifByteType[3]){1, 0, 0}) == GIF_OK &&
           EGifPutExtensionTrailer(f) == GIF_OK;
}

static UfStatus open_file(UfGif* gif, const char* path) {
    UfText name = {0};
    size_t pixels = (size_t)gif->width * (size_t)gif->height;
    int error = 0;
    UF_TRY(uf_strdup(&gif->path, path));
    uf_text_add(&name, "%s.tmp", path);
    UF_TRY(uf_text_finish(&name, &gif->temporary));
    UF_TRY(UF_ALLOC(&gif->before, pixels, "an animation"));
    UF_TRY(UF_ALLOC(&gif->red, pixels, "an animation"));
    UF_TRY(UF_ALLOC(&gif->green, pixels, "an animation"));
    UF_TRY(UF_ALLOC(&gif->blue, pixels, "an animation"));
    UF_TRY(UF_ALLOC(&gif->chosen, pixels, "an animation"));
    UF_TRY(UF_ALLOC(&gif->row, gif->width, "an animation"));
    // giflib's own way of opening would keep the file from everyone but its owner
    int descriptor = open(gif->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (descriptor < 0)
        return UF_FAIL(UF_ERR_IO, "%s: cannot write the animation: %s", path, strerror(errno));
    gif->file = EGifOpenFileHandle(descriptor, &error);
    if (!gif->file) {
        close(descriptor);
        return write_failed(gif, error);
    }
    return put_header(gif) ? UF_OK : write_failed(gif, gif->file->Error);
}

UfStatus uf_gif_open(UfGif** out, const char* path, int width, int height) {
    UfGif* gif;
    *out = NULL;
    UF_TRY(UF_ALLOC(&gif, 1, "an animation"));
    gif->width = width;
    gif->height = height;
    UfStatus status = open_file(gif, path);
    if (status == UF_OK)
        *out = gif;
    else
        uf_gif_abandon(gif);
    return status;
}

// Notes the changed pixels in `before` and in the three planes; how many there are.
static size_t take_changes(UfGif* gif, const uint32_t* pixels, int stride, bool* changed) {
    size_t count = 0;
    for (int y = 0; y < gif->height; y++)
        for (int x = 0; x < gif->width; x++) {
            size_t at = (size_t)y * (size_t)gif->width + (size_t)x;
            uint32_t colour = pixels[(size_t)y * (size_t)stride + (size_t)x] & 0xFFFFFF;
            changed[at] = !gif->begun || gif->before[at] != colour;
            if (!changed[at]) continue;
            gif->before[at] = colour;
            gif->red[count] = (GifByteType)(colour >> 16);
            gif->green[count] = (GifByteType)(colour >> 8);
            gif->blue[count++] = (GifByteType)colour;
        }
    return count;
}

// giflib sorts colours by their upper five bits and gives such; the mean of what each stands for is nearer.
static void refine(const UfGif* gif, size_t count, GifColorType* colours) {
    uint64_t sums[COLOURS][4] = {{0}};
    for (size_t i = 0; i < count; i++) {
        uint64_t* sum = sums[gif->chosen[i]];
        sum[0] += gif->red[i];
        sum[1] += gif->green[i];
        sum[2] += gif->blue[i];
        sum[3]++;
    }
    for (int i = 0; i < COLOURS; i++) {
        uint64_t n = sums[i][3];
        if (n == 0) continue;
        colours[i].Red = (GifByteType)((sums[i][0] + n / 2) / n);
        colours[i].Green = (GifByteType)((sums[i][1] + n / 2) / n);
        colours[i].Blue = (GifByteType)((sums[i][2] + n / 2) / n);
    }
}

static bool put_frame(UfGif* gif, ColorMapObject* map, const bool* changed, int centiseconds) {
    GraphicsControlBlock control = {
        .DisposalMode = DISPOSE_DO_NOT, .DelayTime = centiseconds, .TransparentColor = TRANSPARENT};
    GifByteType block[4];
    size_t length = EGifGCBToExtension(&control, block), next = 0;
    if (EGifPutExtension(gif->file, GRAPHICS_EXT_FUNC_CODE, (int)length, block) != GIF_OK) return false;
    if (EGifPutImageDesc(gif->file, 0, 0, gif->width, gif->height, false, map) != GIF_OK) return false;
    for (int y = 0; y < gif->height; y++) {
        for (int x = 0; x < gif->width; x++)
            gif->row[x] = changed[y * gif->width + x] ? gif->chosen[next++] : TRANSPARENT;
        if (EGifPutLine(gif->file, gif->row, gif->width) != GIF_OK) return false;
    }
    return true;
}

UfStatus uf_gif_add(UfGif* gif, const uint32_t* pixels, int stride, int centiseconds) {
    bool* changed;
    int num_colours = COLOURS;
    UfStatus status = UF_OK;
    UF_TRY(UF_ALLOC(&changed, (size_t)gif->width * (size_t)gif->height, "an animation"));
    ColorMapObject* map = GifMakeMapObject(256, NULL);
    size_t count = take_changes(gif, pixels, stride, changed);
    if (!map || (count > 0 && GifQuantizeBuffer((unsigned)count, 1, &num_colours, gif->red, gif->green,
                                                gif->blue, gif->chosen, map->Colors) != GIF_OK))
        status = UF_FAIL(UF_ERR_MEMORY, "%s: out of memory while writing the animation", gif->path);
    if (status == UF_OK) {
        refine(gif, count, map->Colors);
        if (!put_frame(gif, map, changed, centiseconds)) status = write_failed(gif, gif->file->Error);
    }
    gif->begun = true;
    if (map) GifFreeMapObject(map);
    uf_free(changed);
    return status;
}

UfStatus uf_gif_close(UfGif* gif) {
    int error = 0;
    bool closed = EGifCloseFile(gif->file, &error) == GIF_OK;
    gif->file = NULL;  // gone either way
    UfStatus status = closed ? uf_commit_file(gif->temporary, gif->path) : write_failed(gif, error);
    if (status != UF_OK) unlink(gif->temporary);
    release(gif);
    return status;
}

#endif
