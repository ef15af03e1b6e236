/* A packet host without an interpreter: one UDP packet in, one flow out. */
#include <stdio.h>
#include <string.h>

#include "qoe.h"

static const uint8_t packet[] = {
    0x45, 0, 0, 36, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 192, 0, 2, 1, /* IPv4: 10.0.0.1 to 192.0.2.1 */
    0x0f, 0xa0, 0x13, 0x88, 0, 16, 0, 0,                                 /* UDP: 4000 to 5000 */
    1, 2, 3, 4, 5, 6, 7, 8,
};

int main(void)
{
    struct qoe_config config;
    struct qoe_engine *engine;
    struct qoe_packet burst = {packet, sizeof packet, sizeof packet, 1000, 101, 0};
    struct qoe_verdict verdict;
    struct qoe_flow flow;
    int code;

    memset(&config, 0, sizeof config);
    if (qoe_engine_create(&engine, &config) != QOE_EVERSION)
        return 1; /* a struct of another size must be refused */
    config.struct_size = sizeof config;
    code = qoe_engine_create(&engine, &config);
    if (code < 0) {
        fprintf(stderr, "%s\n", qoe_strerror(code));
        return 2;
    }
    if (qoe_engine_process_burst(engine, &burst, 1, &verdict) != 1 || verdict.flow_id != 1)
        return 3;
    if (qoe_engine_process_burst(engine, NULL, 1, NULL) != QOE_EINVAL)
        return 4;
    if (qoe_engine_flush(engine, 10) != 1 || qoe_engine_export(engine, &flow, 1) != 1)
        return 5;
    printf("%u.%u.%u.%u:%u %u packets %llu\n", flow.src[0], flow.src[1], flow.src[2], flow.src[3], flow.src_port,
           flow.protocol, (unsigned long long)flow.packets_forward);
    qoe_engine_destroy(engine);
    return 0;
}
