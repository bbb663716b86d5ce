/*
 * The load generator: one process, one epoll loop, no allocation per request.
 *
 * N connections with M requests in flight each; every answer is checked (right
 * channel, equal payload, right number of chunks), and what is wrong counts as
 * an error.  Prints one JSON object.  Its frames have three elements.
 */
#define _DEFAULT_SOURCE

#include "requests.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

/* How long the last answers may take once no new request is sent. */
#define DRAIN_NS 30000000000ull
/* Connections of idle mode that wait for their answer at one time. */
#define CONFIRM_WINDOW 64u
#define EVENTS 256

static void arm(connection_t *c, int output)
{
    struct epoll_event event;
    if (c->armed == output)
        return;
    c->armed = output;
    event.events = EPOLLIN | (output ? (unsigned)EPOLLOUT : 0u);
    event.data.ptr = c;
    epoll_ctl(L.epoll, EPOLL_CTL_MOD, c->fd, &event);
}

static void lose(connection_t *c)
{
    if (c->fd < 0)
        return;
    if (c->busy > 0 || !L.releasing)
        fault("the peer closed a connection");
    L.errors += c->busy;
    L.busy -= c->busy;
    c->busy = c->unsent = 0;
    close(c->fd);
    c->fd = -1;
}

static void flush(connection_t *c)
{
    int state;
    pump(c);
    state = buffer_used(&c->out) ? buffer_write(&c->out, c->fd) : 1;
    if (state == 0)
        lose(c);
    else
        arm(c, state < 0 || c->unsent > 0);
    if (O.mode == MODE_IDLE && state > 0)
        buffer_free(&c->out);
}

static void input(connection_t *c)
{
    int whole = buffer_used(&c->in) == 0, state;
    buffer_t *b = whole ? &L.shared : &c->in;
    uint64_t at;
    frame_t frame;
    long step = PARSE_MORE;
    if ((state = buffer_read(b, c->fd)) <= 0) {
        if (state == 0)
            lose(c);
        return;
    }
    at = now_ns();
    while (buffer_used(b) > 0) {
        step = parse_frame(b->data + b->head, buffer_used(b), &frame);
        if (step <= 0)
            break;
        take(c, &frame, at);
        b->head += (size_t)step;
    }
    if (step < 0) {
        fault("the peer sent what is no frame");
        lose(c);
    } else if (whole && buffer_used(b) > 0) {
        memcpy(buffer_reserve(&c->in, buffer_used(b)), b->data + b->head, buffer_used(b));
        c->in.tail += buffer_used(b);
    }
    if (whole)
        b->head = b->tail = 0;
    if (c->fd >= 0)
        flush(c);
}

static void open_connection(void)
{
    connection_t *c = &L.connections[L.opened];
    struct sockaddr_in to;
    struct timeval limit = {10, 0};
    struct epoll_event event;
    int on = 1;
    memset(&to, 0, sizeof to);
    to.sin_family = AF_INET;
    to.sin_port = htons((uint16_t)O.port);
    if (inet_pton(AF_INET, O.host, &to.sin_addr) != 1)
        usage("--host takes a numeric IPv4 address");
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd >= 0) {
        setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof to) < 0) {
        fprintf(stderr, "load: connection %zu to %s:%d: %s\n", L.opened + 1, O.host,
                (int)O.port, strerror(errno));
        exit(69);
    }
    fcntl(c->fd, F_SETFL, fcntl(c->fd, F_GETFL, 0) | O_NONBLOCK);
    c->slots = must(calloc(O.in_flight, sizeof *c->slots));
    event.events = EPOLLIN;
    event.data.ptr = c;
    epoll_ctl(L.epoll, EPOLL_CTL_ADD, c->fd, &event);
    L.opened++;
}

static void fill(connection_t *c)
{
    size_t i;
    uint64_t at = now_ns();
    for (i = 0; i < O.in_flight && may_begin(); i++)
        begin(c, i, at);
    flush(c);
}

/* One turn of the loop; true when standard input has ended. */
static int turn(int timeout)
{
    struct epoll_event events[EVENTS];
    int i, released = 0, count = epoll_wait(L.epoll, events, EVENTS, timeout);
    for (i = 0; i < count; i++) {
        connection_t *c = events[i].data.ptr;
        if (c == NULL) {
            char rest[256];
            released |= read(0, rest, sizeof rest) <= 0;
            continue;
        }
        if (c->fd >= 0 && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
            input(c);
        if (c->fd >= 0 && events[i].events & EPOLLOUT)
            flush(c);
    }
    return released;
}

static void measure(void)
{
    uint64_t at, until;
    size_t i;
    while (L.opened < O.connections)
        open_connection();
    at = L.began = L.ended = now_ns();
    until = O.count ? UINT64_MAX : at + (uint64_t)(O.seconds * 1e9);
    for (i = 0; i < O.connections; i++)
        fill(&L.connections[i]);
    while (L.busy > 0) {
        turn(100);
        at = now_ns();
        if (at >= until && !L.stopping) {
            L.stopping = 1;
            until = at + DRAIN_NS;
        } else if (at >= until) {
            fault("no answer within 30 s");
            L.errors += L.busy - 1;
            return;
        } else if (O.count && at - L.ended > DRAIN_NS) {
            fault("no answer within 30 s");
            return;
        }
    }
}

static void hold(void)
{
    struct epoll_event event;
    uint64_t moved;
    size_t i, all = O.connections * O.in_flight, before = 0;
    L.began = moved = now_ns();
    for (;;) {
        size_t done = O.mode == MODE_IDLE ? (size_t)L.finished : L.open_channels;
        if (done != before)
            moved = now_ns();
        before = done;
        if (done == all || L.errors > 0)
            break;
        if (now_ns() - moved > DRAIN_NS) {
            fault("no answer within 30 s");
            break;
        }
        if (L.opened < O.connections && L.busy < CONFIRM_WINDOW * O.in_flight) {
            open_connection();
            fill(&L.connections[L.opened - 1]);
            turn(0);
        } else {
            turn(100);
        }
    }
    printf("{\"ready\": %s, \"open\": %zu, \"seconds\": %.6f}\n",
           L.errors ? "false" : "true", before, (double)(now_ns() - L.began) / 1e9);
    fflush(stdout);
    event.events = EPOLLIN;
    event.data.ptr = NULL;
    if (epoll_ctl(L.epoll, EPOLL_CTL_ADD, 0, &event) == 0)
        while (!turn(1000))
            ;
    L.releasing = 1;
    if (O.mode != MODE_CHANNELS)
        return;
    for (i = 0; i < L.opened; i++) {
        connection_t *c = &L.connections[i];
        size_t slot;
        for (slot = 0; slot < O.in_flight && c->fd >= 0; slot++)
            if (c->slots[slot].channel)
                put_empty(&c->out, c->slots[slot].channel, CLOSE);
        if (c->fd >= 0)
            flush(c);
    }
    moved = now_ns();
    while (L.busy > 0 && now_ns() - moved < DRAIN_NS)
        turn(100);
    if (L.busy > 0)
        fault("a channel that was not closed within 30 s");
}

static void report(void)
{
    struct rusage usage_;
    double cpu, seconds = (double)(L.ended - L.began) / 1e9;
    const histogram_t *h = &L.latencies;
    getrusage(RUSAGE_SELF, &usage_);
    cpu = (double)usage_.ru_utime.tv_sec + (double)usage_.ru_stime.tv_sec +
          ((double)usage_.ru_utime.tv_usec + (double)usage_.ru_stime.tv_usec) / 1e6;
    printf("{\"mode\": \"%s\", \"connections\": %llu, \"in_flight\": %llu, "
           "\"payload\": %llu, \"requests\": %llu, \"errors\": %llu, "
           "\"seconds\": %.6f, \"sent\": %llu, \"received\": %llu, "
           "\"cpu_seconds\": %.6f, \"p50_us\": %.3f, \"p90_us\": %.3f, "
           "\"p99_us\": %.3f, \"max_us\": %.3f, \"mean_us\": %.3f, "
           "\"first_error\": \"%s\"}\n",
           MODE_NAMES[O.mode], (unsigned long long)O.connections,
           (unsigned long long)O.in_flight, (unsigned long long)O.payload,
           (unsigned long long)L.finished, (unsigned long long)L.errors, seconds,
           (unsigned long long)L.sent, (unsigned long long)L.received, cpu,
           histogram_at(h, 0.5), histogram_at(h, 0.9), histogram_at(h, 0.99),
           (double)h->max / 1e3, h->count ? (double)h->sum / 1e3 / (double)h->count : 0.0,
           L.first_error);
}

int main(int argc, char **argv)
{
    parse_options(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    while (((uint64_t)1 << L.bits) < O.in_flight)
        L.bits++;
    L.epoll = epoll_create1(EPOLL_CLOEXEC);
    L.connections = must(calloc(O.connections, sizeof *L.connections));
    L.payload = must(malloc(O.payload + 8));
    L.pattern = must(malloc(O.payload + 8));
    fill_pattern(L.payload, O.payload);
    fill_pattern(L.pattern, O.payload);
    snprintf(L.down_event, sizeof L.down_event, "source %llu %llu",
             (unsigned long long)O.stream, (unsigned long long)O.payload);
    if (O.mode == MODE_IDLE || O.mode == MODE_CHANNELS)
        hold();
    else
        measure();
    report();
    return 0;
}
