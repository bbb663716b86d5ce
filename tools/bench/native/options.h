/*
 * The command line of the load generator: pairs of --name value.
 */
#ifndef COCAINED_BENCH_OPTIONS_H
#define COCAINED_BENCH_OPTIONS_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum {
    MODE_ECHO,     /* enqueue + chunk + close in one go, chunk + close back */
    MODE_RESOLVE,
    MODE_READ,     /* storage read; the blob is the pattern */
    MODE_WRITE,    /* storage write, one key per slot */
    MODE_UP,       /* stream to the app's "sink" */
    MODE_DOWN,     /* stream from the app's "source" */
    MODE_IDLE,     /* one resolve per connection, then silence */
    MODE_CHANNELS, /* an echoed chunk per channel, then silence */
    MODES
} kind_of_load;

static const char *const MODE_NAMES[MODES] = {
    "echo",      "resolve",     "storage-read", "storage-write",
    "stream-up", "stream-down", "idle",         "channels"};

static struct {
    const char *host, *name, *collection, *key;
    kind_of_load mode;
    uint64_t port, connections, in_flight, payload, count, stream;
    double seconds;
} O = {"127.0.0.1", "storage", "bench", "blob", MODE_ECHO, 0, 1, 1, 16, 0,
       16u * 1024u * 1024u, 1.0};

static void usage(const char *problem)
{
    fprintf(stderr,
            "load: %s\n"
            "usage: load --mode MODE --port PORT [--host IPv4] [--connections N]\n"
            "  [--in-flight N] [--payload BYTES] [--milliseconds T | --count N]\n"
            "  [--stream BYTES] [--name SERVICE] [--collection C] [--key K]\n"
            "modes: echo resolve storage-read storage-write stream-up stream-down\n"
            "  idle channels (these two print a line when all is open, hold it\n"
            "  until their standard input ends, and print the record then)\n",
            problem);
    exit(64);
}

static uint64_t number(const char *text, uint64_t low, uint64_t high, const char *what)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    static char problem[160];
    if (*text < '0' || *text > '9' || *end || value < low || value > high) {
        snprintf(problem, sizeof problem, "%s must be %llu to %llu, not %.40s", what,
                 (unsigned long long)low, (unsigned long long)high, text);
        usage(problem);
    }
    return value;
}

static kind_of_load mode_named(const char *name)
{
    int mode;
    for (mode = 0; mode < MODES; mode++)
        if (strcmp(MODE_NAMES[mode], name) == 0)
            return (kind_of_load)mode;
    usage("no such mode");
    return MODE_ECHO;
}

static void parse_options(int argc, char **argv)
{
    int i;
    if (argc % 2 == 0)
        usage("an option without a value");
    for (i = 1; i + 1 < argc; i += 2) {
        const char *option = argv[i], *value = argv[i + 1];
        if (strcmp(option, "--mode") == 0)
            O.mode = mode_named(value);
        else if (strcmp(option, "--host") == 0)
            O.host = value;
        else if (strcmp(option, "--name") == 0)
            O.name = value;
        else if (strcmp(option, "--collection") == 0)
            O.collection = value;
        else if (strcmp(option, "--key") == 0)
            O.key = value;
        else if (strcmp(option, "--port") == 0)
            O.port = number(value, 1, 65535, option);
        else if (strcmp(option, "--connections") == 0)
            O.connections = number(value, 1, 60000, option);
        else if (strcmp(option, "--in-flight") == 0)
            O.in_flight = number(value, 1, 65536, option);
        else if (strcmp(option, "--payload") == 0)
            O.payload = number(value, 0, 1u << 20, option);
        else if (strcmp(option, "--count") == 0)
            O.count = number(value, 1, UINT64_MAX / 2, option);
        else if (strcmp(option, "--stream") == 0)
            O.stream = number(value, 1, (uint64_t)1 << 40, option);
        else if (strcmp(option, "--milliseconds") == 0)
            O.seconds = (double)number(value, 1, 3600000, option) / 1e3;
        else
            usage("no such option");
    }
    if (O.port == 0)
        usage("--port is missing");
    if (strlen(O.name) > 255 || strlen(O.collection) > 255 || strlen(O.key) > 200)
        usage("a name of more than 255 bytes");
    if ((O.mode == MODE_UP || O.mode == MODE_DOWN) && O.payload == 0)
        usage("a stream needs chunks of one byte at least");
}

#endif
