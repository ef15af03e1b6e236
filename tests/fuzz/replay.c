/* What libFuzzer's main does with files: hands each of them, and each file of a directory, to the entry once.
 * Says which one it is at, so that a finding has a name, and in the end which one took longest; an alarm ends one that
 * does not end by itself. */
#include <dirent.h>
#include <time.h>
#include <unistd.h>

#include "entry.h"

enum { ENDLESS_S = 60 };

static unsigned long n_replayed;
static double longest_ms;
static char longest[4096] = "none";

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

static uint8_t *read_file(FILE *file, size_t *n_bytes)
{
    uint8_t *bytes = NULL;
    size_t room = 0;
    *n_bytes = 0;
    do {
        room = 2 * room + 4096;
        bytes = realloc(bytes, room);
        CLAIM(bytes != NULL);
        *n_bytes += fread(bytes + *n_bytes, 1, room - *n_bytes, file);
    } while (*n_bytes == room);
    return bytes;
}

static void replay_file(const char *path, FILE *file)
{
    size_t n_bytes;
    uint8_t *read = read_file(file, &n_bytes), *exact = heap_copy(read, n_bytes);
    double start_ms = now_ms(), ms;
    free(read);
    printf("%s\n", path);
    fflush(stdout);
    alarm(ENDLESS_S);
    LLVMFuzzerTestOneInput(exact, n_bytes);
    alarm(0);
    ms = now_ms() - start_ms;
    if (ms > longest_ms) {
        longest_ms = ms;
        snprintf(longest, sizeof longest, "%s", path);
    }
    n_replayed++;
    free(exact);
}

static int replay(const char *path)
{
    DIR *directory = opendir(path);
    FILE *file = directory ? NULL : fopen(path, "rb");
    const struct dirent *entry;
    char name[4096];
    int failed = 0;
    if (!directory && !file) {
        fprintf(stderr, "%s cannot be read\n", path);
        return 1;
    }
    while (directory && (entry = readdir(directory)) != NULL)
        if (entry->d_name[0] != '.') {
            snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
            failed |= replay(name);
        }
    if (file) {
        replay_file(path, file);
        fclose(file);
    } else
        closedir(directory);
    return failed;
}

int main(int argc, char **argv)
{
    int failed = 0;
    for (int i = 1; i < argc; i++)
        failed |= replay(argv[i]);
    printf("%lu replayed, no finding; the longest took %.0f ms: %s\n", n_replayed, longest_ms, longest);
    return failed;
}
