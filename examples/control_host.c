/* control_host.c: packets in one thread, Python's optimiser in another, on the same memory.
 *
 *     make control_host && ./control_host [PYTHON]
 *
 * The data thread takes packets as a live host does and never touches Python. The control thread starts Python once;
 * then, every second, it has the flow records of that second read by NumPy where they lie, lets control.py share the
 * cell, and hands the weights to the engine, from where the data thread reads them packet by packet. PYTHON is the
 * interpreter whose environment has qoe (default: python3 on the PATH). Run it here: it imports ./control.py.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h> /* first, as it asks */

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <qoe.h>

#include "traffic.h"

enum { N_SUBSCRIBERS = 4, N_DECISIONS = 3, MAX_FLOWS = 1024, BURST = 64 };
#define CAPACITY_BPS 4e6 /* two downloads of 2.4 Mbit/s and two calls want more */
#define N_BEARERS (N_SUBSCRIBERS * QOE_N_CLASSES)

struct host {
    struct qoe_engine *engine;
    atomic_bool stop;
    _Atomic uint64_t now_ns; /* the host's clock, as far as packets were taken */
    uint64_t n_packets[N_BEARERS];
    float last_weight[N_BEARERS]; /* what the data thread read with the bearer's latest packet */
};

static struct host host;

static uint32_t check(int code, const char *what)
{
    if (code < 0) {
        fprintf(stderr, "control_host: %s: %s\n", what, qoe_strerror(code));
        exit(EXIT_FAILURE);
    }
    return (uint32_t)code;
}

static void sleep_ns(uint64_t ns)
{
    struct timespec time = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    nanosleep(&time, NULL);
}

/* -- The data thread. */

static void take(const struct frame *frames, uint32_t n)
{
    static struct qoe_packet packets[BURST]; /* only the data thread comes here */
    struct qoe_verdict verdicts[BURST];
    for (uint32_t i = 0; i < n; i++)
        packets[i] = (struct qoe_packet){frames[i].bytes, frames[i].len, frames[i].len, frames[i].ts_ns, 1, 0};
    check(qoe_engine_process_burst(host.engine, packets, n, verdicts), "process_burst");
    for (uint32_t i = 0; i < n; i++) {
        uint32_t bearer = frames[i].subscriber * QOE_N_CLASSES + verdicts[i].app_class;
        host.last_weight[bearer] = qoe_engine_get_weight(host.engine, bearer);
        host.n_packets[bearer]++;
    }
}

/* One tick of 20 ms of traffic every 20 ms, until told to stop. */
static void *data_thread(void *unused)
{
    static struct frame frames[BURST];
    static struct qoe_flow ended[BURST];
    struct traffic traffic = {N_SUBSCRIBERS, 3600, 0, 0, 0};
    (void)unused;
    while (!atomic_load(&host.stop)) {
        uint32_t n = 0, tick = traffic.tick;
        while (traffic.tick == tick && n < BURST && traffic_next(&traffic, &frames[n]))
            n++;
        if (n == 0)
            break; /* after an hour */
        take(frames, n);
        atomic_store(&host.now_ns, frames[n - 1].ts_ns);
        check(qoe_engine_advance(host.engine, frames[n - 1].ts_ns), "advance");
        while (check(qoe_engine_export(host.engine, ended, BURST), "export") > 0)
            continue; /* a probe would write them out here */
        sleep_ns(TRAFFIC_TICK_NS);
    }
    return NULL;
}

/* -- The control thread: the only one that ever holds Python's lock. */

/* Without signal handlers and environment variables: the process is the host's. Gives whether it went well. */
static bool start_python(const char *program)
{
    PyConfig config;
    PyStatus status;
    PyConfig_InitIsolatedConfig(&config);
    status = PyConfig_SetBytesString(&config, &config.program_name, program); /* finds the virtual environment */
    if (!PyStatus_Exception(status))
        status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    if (PyStatus_Exception(status))
        fprintf(stderr, "control_host: cannot start Python: %s\n", status.err_msg ? status.err_msg : "no reason given");
    return !PyStatus_Exception(status);
}

static PyObject *make_control(void)
{
    PyObject *module = NULL, *control = NULL;
    if (PyRun_SimpleString("import sys; sys.path.insert(0, '')") == 0)
        module = PyImport_ImportModule("control");
    if (module)
        control = PyObject_CallMethod(module, "Control", "id", (int)N_SUBSCRIBERS, CAPACITY_BPS);
    Py_XDECREF(module);
    return control;
}

/* One line for what Python could not do. */
static void complain(const char *program)
{
    PyObject *type, *value, *trace, *text;
    PyErr_Fetch(&type, &value, &trace);
    text = value ? PyObject_Str(value) : NULL;
    fprintf(stderr, "control_host: Python: %s: has the environment of %s qoe, and this directory control.py?\n",
            text ? PyUnicode_AsUTF8(text) : "no reason given", program);
    Py_XDECREF(text);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(trace);
}

/* Flow records to Python, weights back: neither is copied on the way. The snapshot is taken while packets go on:
 * each record is whole. Gives whether weights were set. */
static bool decide(PyObject *control, uint64_t since_ns, uint64_t now_ns)
{
    static struct qoe_flow flows[MAX_FLOWS];
    uint64_t cursor = 0;
    uint32_t n_flows = check(qoe_engine_snapshot(host.engine, flows, MAX_FLOWS, since_ns, &cursor), "snapshot");
    Py_ssize_t n_bytes = (Py_ssize_t)(n_flows * sizeof(struct qoe_flow));
    PyObject *memory = PyMemoryView_FromMemory((char *)flows, n_bytes, PyBUF_READ), *found = NULL, *released = NULL;
    Py_buffer bearers, weights;
    bool done = false;
    if (memory)
        found = PyObject_CallMethod(control, "decide", "OK", memory, (unsigned long long)now_ns);
    if (found && PyArg_ParseTuple(found, "y*y*", &bearers, &weights)) {
        uint32_t n = (uint32_t)(bearers.len / (Py_ssize_t)sizeof(uint32_t));
        check(qoe_engine_set_weights(host.engine, bearers.buf, weights.buf, n), "set_weights");
        PyBuffer_Release(&bearers);
        PyBuffer_Release(&weights);
        done = true;
    }
    if (done) /* an error if anything of Python's still looks at our memory */
        released = PyObject_CallMethod(memory, "release", NULL);
    Py_XDECREF(released);
    Py_XDECREF(found);
    Py_XDECREF(memory);
    return released != NULL;
}

static void *control_thread(void *program)
{
    static int n_decisions;
    PyObject *control;
    uint64_t since_ns = TRAFFIC_START_NS;
    if (!start_python(program))
        return NULL;
    control = make_control();
    while (control && n_decisions < N_DECISIONS) {
        uint64_t now_ns = atomic_load(&host.now_ns);
        if (now_ns < since_ns + 1000000000u) {
            sleep_ns(TRAFFIC_TICK_NS);
            continue;
        }
        if (!decide(control, since_ns, now_ns))
            break; /* a live host goes on with the weights it has */
        since_ns = now_ns;
        n_decisions++;
    }
    if (PyErr_Occurred())
        complain(program);
    Py_XDECREF(control);
    if (Py_FinalizeEx() < 0) /* once, at the end: NumPy cannot be started twice in a process */
        fprintf(stderr, "control_host: Python could not write all of its output\n");
    sleep_ns(5 * TRAFFIC_TICK_NS); /* let every bearer see its last weight */
    return &n_decisions;
}

static void report(void)
{
    struct qoe_counters c;
    check(qoe_engine_counters(host.engine, &c), "counters");
    for (uint32_t i = 0; i < N_BEARERS; i++)
        if (host.n_packets[i])
            printf("bearer %" PRIu32 ": %" PRIu64 " packets, the last with weight %.3f\n", i, host.n_packets[i],
                   (double)host.last_weight[i]);
    printf("%" PRIu64 " packets in %" PRIu64 " flows\n", c.packets, c.flows_created);
}

/* The classifier that comes with qoe, as pkg-config names it. */
static void make_engine(void)
{
    static uint8_t model[8 << 20];
    struct qoe_config config = {.struct_size = sizeof config, .max_flows = MAX_FLOWS, .idle_timeout_ns = 60000000000u};
    FILE *file = fopen(MODEL, "rb");
    if (file) {
        config.model = model;
        config.model_bytes = fread(model, 1, sizeof model, file);
        fclose(file);
    }
    check(qoe_engine_create(&host.engine, &config), "create");
}

int main(int argc, char **argv)
{
    pthread_t data, control;
    void *n_decisions = NULL;
    make_engine();
    if (pthread_create(&data, NULL, data_thread, NULL) != 0 ||
        pthread_create(&control, NULL, control_thread, argc > 1 ? argv[1] : "python3") != 0) {
        fprintf(stderr, "control_host: cannot start a thread\n");
        return EXIT_FAILURE;
    }
    pthread_join(control, &n_decisions);
    atomic_store(&host.stop, true);
    pthread_join(data, NULL);
    report();
    qoe_engine_destroy(host.engine);
    return n_decisions && *(int *)n_decisions == N_DECISIONS ? EXIT_SUCCESS : EXIT_FAILURE;
}
