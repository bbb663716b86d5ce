/*
 * Latencies in fixed memory: 128 buckets for each power of two, so that what
 * is read back is at most 0.8 % off, however many were counted.
 */
#ifndef COCAINED_BENCH_HISTOGRAM_H
#define COCAINED_BENCH_HISTOGRAM_H

#include <stdint.h>

#define SUB_BITS 7
#define SUB_COUNT (1u << SUB_BITS)
/* Up to 2^41 ns, over half an hour: longer than any run. */
#define BUCKETS (35u * SUB_COUNT)

typedef struct {
    uint64_t buckets[BUCKETS];
    uint64_t count, sum, max;
} histogram_t;

static void histogram_add(histogram_t *h, uint64_t ns)
{
    uint64_t index = ns, rest = ns;
    unsigned exponent = 0;
    if (ns >= SUB_COUNT) {
        while (rest >>= 1)
            exponent++;
        index = (uint64_t)(exponent - SUB_BITS + 1) * SUB_COUNT +
                ((ns >> (exponent - SUB_BITS)) & (SUB_COUNT - 1));
    }
    h->buckets[index < BUCKETS ? index : BUCKETS - 1]++;
    h->count++;
    h->sum += ns;
    if (ns > h->max)
        h->max = ns;
}

/* The latency that *share* (0 to 1) of all stayed within, in microseconds. */
static double histogram_at(const histogram_t *h, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)h->count + 0.5), seen = 0;
    uint64_t index;
    if (wanted == 0)
        wanted = 1;
    for (index = 0; index < BUCKETS; index++) {
        uint64_t low = index, width = 1;
        seen += h->buckets[index];
        if (seen < wanted)
            continue;
        if (index >= SUB_COUNT) {
            unsigned shift = (unsigned)(index / SUB_COUNT) - 1;
            low = (SUB_COUNT + index % SUB_COUNT) << shift;
            width = (uint64_t)1 << shift;
        }
        return ((double)low + (double)width / 2) / 1e3;
    }
    return (double)h->max / 1e3;
}

#endif
