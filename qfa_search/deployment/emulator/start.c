/* Start-up of an emulated Cortex-M4 (QEMU's mps2-an386), its output and its clock. */
#include <stdint.h>

extern uint32_t data_from[], data_start[], data_end[], bss_start[], bss_end[], stack_top[];
extern int main(void);

static uint32_t semihosting(uint32_t operation, const void *argument) {
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

/* Timer 0 of the board counts down at 25 MHz. With -icount shift=0 an instruction takes a
   nanosecond, so that a tick is 40 of them. (Semihosting's SYS_ELAPSED is the host's time.) */
#define TIMER ((volatile uint32_t *)0x40000000)

static void start_timer(void) {
    TIMER[1] = TIMER[2] = 0xFFFFFFFF; /* value, reload */
    TIMER[0] = 1;
}

uint64_t elapsed(void) { return (uint64_t)(0xFFFFFFFF - TIMER[1]) * 40; }

void put(const char *text) { semihosting(0x04, text); } /* SYS_WRITE0 */

void put_number(int64_t number) {
    char text[24], *at = text + sizeof text - 1;
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    *at = 0;
    do *--at = (char)('0' + rest % 10), rest /= 10;
    while (rest);
    if (number < 0) *--at = '-';
    put(at);
}

void start(void);
void start(void) {
    uint32_t *from = data_from, *to;
    for (to = data_start; to < data_end;) *to++ = *from++;
    for (to = bss_start; to < bss_end;) *to++ = 0;
    start_timer();
    main();
    semihosting(0x18, (const void *)0x20026); /* SYS_EXIT, application exit */
    for (;;) {}
}

__attribute__((section(".vectors"), used)) static const void *const vectors[] = {
    stack_top,
    (const void *)start,
};
