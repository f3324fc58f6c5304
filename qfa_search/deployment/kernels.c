/* Integer kernels. Codes of up to 4 bits lie two in a byte, wider ones one in a byte, channels of a
   pixel side by side and filled up to a multiple of eight. Streams are int32 with 20 fraction bits.
   Weights of 1x1 layers are unpacked once for two output channels and all pixels, those of
   depthwise layers once for a channel; activations are multiplied as they lie. */

#if defined(__ARM_FEATURE_SIMD32)
#include <arm_acle.h>
#endif

/* Kernels keep their registers to themselves; what runs seldom is compiled for size. */
#if defined(__GNUC__)
#define KERNEL static __attribute__((noinline))
#define SMALL static __attribute__((noinline, cold))
#else
#define KERNEL static
#define SMALL static
#endif

#define ARITHMETIC_SHIFT_IS_NEEDED ((-1 >> 1) == -1 ? 1 : -1)
typedef char arithmetic_shift_is_needed[ARITHMETIC_SHIFT_IS_NEEDED];
typedef char int_of_32_bits_is_needed[sizeof(int) >= 4 ? 1 : -1];
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "weights are read as bytes of words that lie with the lowest byte first"
#endif

/* Of a stream; the sum of two fits 32 bits. */
#define LIMIT ((1 << 30) - 1)

enum { STEM, POINTWISE, DEPTHWISE, SQUEEZE, GATE };
enum { CODES, ACTIVATED, POOLED, STREAM };
enum { NONE, RELU, HSWISH };

typedef struct {
    int64_t t;               /* a stream's code of 0, and one half */
    const uint32_t *weights; /* packed */
    const int32_t *channels; /* multiplier and bias of each channel */
    int32_t k;               /* codes per unit of a stream */
    int32_t zero;            /* fraction of the zero code, 22 fraction bits */
    uint32_t codes, out, scratch; /* words in the arena: what it reads, gives, needs in between */
    uint16_t in_channels, out_channels;
    unsigned kind : 3, target : 2, activation : 2, adds : 1, reads_stream : 1, has_own_constants : 1;
    unsigned is_last : 1; /* so that the code is the same for any number of layers */
    uint8_t in_size, out_size, kernel_size, stride, w_bits, in_bits, in_top;
    uint8_t code_shift, lowest, zero_code, acc_shift, bias_shift, shift, pool_shift;
} layer; /* codes that it gives are those of the next one */

static inline uint32_t word_at(const uint8_t *p) {
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline int32_t low_half(uint32_t pair) { return (int32_t)((pair & 0xFFFF) ^ 0x8000) - 0x8000; }

static inline int32_t high_half(uint32_t pair) { return low_half(pair >> 16); }

static inline uint32_t pair_of(int32_t low, int32_t high) {
    return ((uint32_t)low & 0xFFFF) | (uint32_t)high << 16;
}

/* sum + the products of both halves. */
static inline int32_t dot2(uint32_t a, uint32_t b, int32_t sum) {
#if defined(__ARM_FEATURE_SIMD32)
    return __smlad((int16x2_t)a, (int16x2_t)b, sum);
#else
    return sum + low_half(a) * low_half(b) + high_half(a) * high_half(b);
#endif
}

/* Differences of both halves; those of a are below 2^15. */
static inline uint32_t minus2(uint32_t a, uint32_t b) {
#if defined(__ARM_FEATURE_SIMD32)
    return (uint32_t)__ssub16((int16x2_t)a, (int16x2_t)b);
#else
    return ((a | 0x80008000u) - b) ^ 0x80008000u;
#endif
}

static inline int32_t within(int32_t value, int32_t lowest, int32_t highest) {
    return value < lowest ? lowest : value > highest ? highest : value;
}

KERNEL int64_t shifted(int32_t value, int shift) {
    return (int64_t)((uint64_t)(int64_t)value << shift);
}

static inline uint32_t pixel_bytes(uint32_t channels, uint32_t bits) {
    return (channels + 7) / 8 * (bits > 4 ? 8 : 4);
}

static inline void put_code(uint8_t *pixel, uint32_t channel, uint32_t bits, int32_t code) {
    if (bits > 4) {
        pixel[channel] = (uint8_t)code;
    } else if (channel & 1) {
        pixel[channel / 2] = (uint8_t)((pixel[channel / 2] & 0x0F) | code << 4);
    } else {
        pixel[channel / 2] = (uint8_t)((pixel[channel / 2] & 0xF0) | code);
    }
}

static inline int32_t code_at(const uint8_t *pixel, uint32_t channel, uint32_t bits) {
    return bits > 4 ? pixel[channel] : pixel[channel / 2] >> (channel & 1) * 4 & 0x0F;
}

/* Code that layer `l` reads in place of a stream. */
KERNEL int32_t code_of(const layer *l, int32_t stream) {
    int64_t v = (int64_t)stream * l->k + l->t;
    return within((int32_t)(v >> 32) >> l->code_shift, 0, l->in_top);
}

static inline int32_t gate_of(int32_t stream) {
    int32_t sixths = within(stream, -(3 << 20), 3 << 20) + (3 << 20);
    return (int32_t)((int64_t)sixths * 178956971 >> 24);
}

static int32_t gated(int32_t stream, int32_t gate) {
    return (int32_t)(((int64_t)stream * gate + (1 << 25)) >> 26);
}

static int32_t clamped(int64_t stream) {
    return stream > LIMIT ? LIMIT : stream < -LIMIT ? -LIMIT : (int32_t)stream;
}

/* What a layer gives that gives no codes at once: its stream after activation. */
KERNEL int32_t stream_of(const layer *l, int64_t v) {
    int32_t stream = clamped(v >> l->shift);
    if (l->activation == RELU) return stream < 0 ? 0 : stream;
    if (l->activation == HSWISH) return gated(stream, gate_of(stream));
    return stream;
}

/* Puts a code of one output where it belongs. */
KERNEL void put_output(const layer *l, uint32_t *arena, uint32_t pixel, uint32_t channel, int32_t code) {
    uint8_t *codes = (uint8_t *)(arena + l->out);
    put_code(codes + pixel * pixel_bytes(l->out_channels, l[1].in_bits), channel, l[1].in_bits, code);
}

/* Puts the value of one output where it belongs, except into pools. */
KERNEL void put_value(const layer *l, uint32_t *arena, uint32_t pixel, uint32_t channel, int64_t v) {
    if (l->target == STREAM) {
        int32_t *stream = (int32_t *)(arena + l->out) + pixel * l->out_channels + channel;
        int32_t value = stream_of(l, v);
        *stream = l->adds ? within(value + *stream, -LIMIT, LIMIT) : value;
    } else {
        int32_t code = l->target == CODES ? within((int32_t)(v >> 32), l->lowest, l[1].in_top)
                                          : code_of(l + 1, stream_of(l, v));
        put_output(l, arena, pixel, channel, code);
    }
}

static inline int64_t product(const layer *l, int32_t acc, int32_t m) {
    return (int64_t)(int32_t)((uint32_t)acc << l->acc_shift) * m;
}

static inline int32_t code_from(int32_t acc, int shift, int32_t m, int64_t b, int32_t lowest,
                                int32_t top) {
    int64_t v = (int64_t)(int32_t)((uint32_t)acc << shift) * m + b;
    return within((int32_t)(v >> 32), lowest, top);
}

/* What the fraction of the zero is worth. */
KERNEL int64_t zero_of(const layer *l, int32_t m) {
    return (int64_t)l->zero * m >> (22 - l->acc_shift);
}

/* Value `index` of `bits` bits each, packed one after the other. */
static inline int32_t field(const uint8_t *bytes, uint32_t index, uint32_t bits) {
    uint32_t at = index * bits;
    uint32_t window = (bytes[at / 8] | (uint32_t)bytes[at / 8 + 1] << 8) >> at % 8;
    return (int32_t)(window & ((1u << bits) - 1)) - (1 << (bits - 1));
}

KERNEL void read_stream(const layer *l, uint32_t *arena) {
    const int32_t *stream = (const int32_t *)(arena + l[-1].out);
    uint8_t *pixel = (uint8_t *)(arena + l->codes);
    uint32_t n = (uint32_t)l->in_size * l->in_size, c;
    for (; n > 0; n--, pixel += pixel_bytes(l->in_channels, l->in_bits)) {
        for (c = 0; c < l->in_channels; c++) put_code(pixel, c, l->in_bits, code_of(l, *stream++));
    }
}

/* Weights of output channels 2r and 2r + 1 as pairs of int16: for each eight inputs those of
   inputs 0 and 4, 1 and 5, 2 and 6, 3 and 7, the two channels by turns. */
KERNEL void unpack_rows(const layer *l, uint32_t r, uint32_t *pairs) {
    uint32_t units = (l->in_channels + 7u) / 8;
    const uint32_t *w = l->weights, *end = pairs + 8 * units;
    if (l->w_bits == 2) {
        for (w += r * units; pairs != end; pairs += 8) {
            uint32_t x = *w++;
            pairs[0] = minus2(x & 0x00030003, 0x00020002);
            pairs[1] = minus2(x >> 2 & 0x00030003, 0x00020002);
            pairs[2] = minus2(x >> 4 & 0x00030003, 0x00020002);
            pairs[3] = minus2(x >> 6 & 0x00030003, 0x00020002);
            pairs[4] = minus2(x >> 8 & 0x00030003, 0x00020002);
            pairs[5] = minus2(x >> 10 & 0x00030003, 0x00020002);
            pairs[6] = minus2(x >> 12 & 0x00030003, 0x00020002);
            pairs[7] = minus2(x >> 14 & 0x00030003, 0x00020002);
        }
    } else if (l->w_bits == 3) {
        const uint8_t *high = (const uint8_t *)(w + (l->out_channels + 1u) / 2 * units);
        for (w += r * units, high += 2 * r * units; pairs != end; high += 2) {
            uint32_t x = *w++, h = (high[0] | (uint32_t)high[1] << 16) << 2, *next = pairs + 8;
            do {
                pairs[0] = minus2((x & 0x00030003) | (h & 0x00040004), 0x00040004);
                pairs[1] = minus2((x >> 2 & 0x00030003) | (h >> 1 & 0x00040004), 0x00040004);
                x >>= 4, h >>= 2, pairs += 2;
            } while (pairs != next);
        }
    } else if (l->w_bits == 4) {
        for (w += 2 * r * units; pairs != end; pairs += 4) {
            uint32_t x = *w++;
            pairs[0] = minus2(x & 0x000F000F, 0x00080008);
            pairs[1] = minus2(x >> 4 & 0x000F000F, 0x00080008);
            pairs[2] = minus2(x >> 8 & 0x000F000F, 0x00080008);
            pairs[3] = minus2(x >> 12 & 0x000F000F, 0x00080008);
        }
    } else {
        for (w += 4 * r * units; pairs != end; pairs += 2) {
            uint32_t x = *w++;
            pairs[0] = minus2(x & 0x00FF00FF, 0x00800080);
            pairs[1] = minus2(x >> 8 & 0x00FF00FF, 0x00800080);
        }
    }
}

/* One pair of inputs of two pixels, a and b, with two channels. */
#define DOT_2X2(j, a, b)                                       \
    do {                                                       \
        uint32_t w0 = pairs[2 * (j)], w1 = pairs[2 * (j) + 1]; \
        uint32_t x0_ = (a), x1_ = (b);                         \
        a00 = dot2(x0_, w0, a00), a01 = dot2(x1_, w0, a01);    \
        a10 = dot2(x0_, w1, a10), a11 = dot2(x1_, w1, a11);    \
    } while (0)

/* Sums of products of two pixels and two channels: channel 0, then channel 1. */
static inline void dot_2x2(const uint8_t *x0, const uint8_t *x1, const uint32_t *pairs,
                           const uint32_t *end, int32_t *acc) {
    int32_t a00 = 0, a01 = 0, a10 = 0, a11 = 0;
    for (; pairs != end; pairs += 8, x0 += 4, x1 += 4) {
        uint32_t p = word_at(x0), q = word_at(x1);
        DOT_2X2(0, p & 0x000F000F, q & 0x000F000F);
        DOT_2X2(1, p >> 4 & 0x000F000F, q >> 4 & 0x000F000F);
        DOT_2X2(2, p >> 8 & 0x000F000F, q >> 8 & 0x000F000F);
        DOT_2X2(3, p >> 12 & 0x000F000F, q >> 12 & 0x000F000F);
    }
    acc[0] = a00, acc[1] = a01, acc[2] = a10, acc[3] = a11;
}

/* The same with one code in a byte. */
SMALL void dot_bytes_2x2(const uint8_t *x0, const uint8_t *x1, const uint32_t *pairs,
                         const uint32_t *end, int32_t *acc) {
    int32_t a00 = 0, a01 = 0, a10 = 0, a11 = 0;
    for (; pairs != end; x0 += 4, x1 += 4) {
        const uint32_t *next = pairs + 8;
        for (; pairs != next; pairs += 2, x0++, x1++) {
            DOT_2X2(0, x0[0] | (uint32_t)x0[4] << 16, x1[0] | (uint32_t)x1[4] << 16);
        }
    }
    acc[0] = a00, acc[1] = a01, acc[2] = a10, acc[3] = a11;
}

/* All pixels of two channels, codes to codes. */
KERNEL void put_code_rows(const layer *l, const uint8_t *x, const uint32_t *pairs,
                          const int32_t *own, uint8_t *y) {
    const uint32_t *end = pairs + (l->in_channels + 7u) / 8 * 8;
    uint32_t in_bytes = pixel_bytes(l->in_channels, 4), out_bytes = pixel_bytes(l->out_channels, 4);
    int32_t m0 = own[0], m1 = own[2], lowest = l->lowest, top = l[1].in_top, acc[4], q;
    int64_t b0 = shifted(own[1], l->bias_shift), b1 = shifted(own[3], l->bias_shift);
    int n = l->out_size * l->out_size, shift = l->acc_shift;
    for (; n > 0; n -= 2, x += 2 * in_bytes, y += 2 * out_bytes) {
        dot_2x2(x, n > 1 ? x + in_bytes : x, pairs, end, acc);
        q = code_from(acc[0], shift, m0, b0, lowest, top);
        y[0] = (uint8_t)(q | code_from(acc[2], shift, m1, b1, lowest, top) << 4);
        if (n == 1) return;
        q = code_from(acc[1], shift, m0, b0, lowest, top);
        y[out_bytes] = (uint8_t)(q | code_from(acc[3], shift, m1, b1, lowest, top) << 4);
    }
}

/* All pixels of two channels to whatever else a layer may give. Where all channels share one
   bias, the second pixel is one of ones: its sums are those of the weights. */
KERNEL void put_rows(const layer *l, uint32_t *arena, const uint8_t *x, const uint8_t *ones,
                     const uint32_t *pairs, uint32_t c) {
    const uint32_t *end = pairs + (l->in_channels + 7u) / 8 * 8;
    const int32_t *own = l->channels + (l->has_own_constants ? 2 * c : 0);
    uint32_t in_bytes = pixel_bytes(l->in_channels, l->in_bits), p, i;
    uint32_t n = (uint32_t)l->out_size * l->out_size, n_channels = c + 1u < l->out_channels ? 2 : 1;
    int64_t sums[2] = {0, 0}, biases[2], zero = l->has_own_constants ? 0 : zero_of(l, own[0]);
    int32_t m[2], acc[4];
    for (i = 0; i < 2; i++) {
        m[i] = own[0], biases[i] = shifted(own[1], l->bias_shift);
        if (l->has_own_constants) own += 2;
    }
    for (p = 0; p < n; p += 2, x += 2 * in_bytes) {
        const uint8_t *x1 = n - p > 1 ? x + in_bytes : l->has_own_constants ? x : ones;
        if (l->in_bits > 4) {
            dot_bytes_2x2(x, x1, pairs, end, acc);
        } else {
            dot_2x2(x, x1, pairs, end, acc);
        }
        for (i = 0; i < 2 * n_channels; i++) {
            int64_t v = product(l, acc[i], m[i / 2]) + biases[i / 2];
            if (!l->has_own_constants) v += acc[i + 1] * zero;
            if (l->target == POOLED) {
                sums[i / 2] += stream_of(l, v);
            } else {
                put_value(l, arena, p + (i & 1), c + i / 2, v);
            }
            if (n - p == 1) i++;
        }
    }
    for (i = 0; l->target == POOLED && i < n_channels; i++) {
        put_output(l, arena, 0, c + i, code_of(l + 1, (int32_t)(sums[i] >> l->pool_shift)));
    }
}

KERNEL void pointwise(const layer *l, uint32_t *arena) {
    const uint8_t *in = (const uint8_t *)(arena + l->codes);
    uint32_t *pairs = arena + l->scratch, n_ones = pixel_bytes(l->in_channels, l->in_bits), c;
    uint8_t *ones = (uint8_t *)(pairs + (l->in_channels + 7u) / 8 * 8);
    int is_plain = l->target == CODES && l->in_bits <= 4 && l[1].in_bits <= 4 && l->has_own_constants;
    while (!l->has_own_constants && n_ones > 0) ones[--n_ones] = l->in_bits > 4 ? 0x01 : 0x11;
    for (c = 0; c < l->out_channels; c += 2) {
        unpack_rows(l, c / 2, pairs);
        if (is_plain) {
            put_code_rows(l, in, pairs, l->channels + 2 * c, (uint8_t *)(arena + l->out) + c / 2);
        } else {
            put_rows(l, arena, in, ones, pairs, c);
        }
    }
}

/* What a row of outputs starts from: the bias, and what padding is worth at its ends. */
SMALL void row_biases(const layer *l, int top, int bottom, const int16_t *table, int64_t b,
                       int64_t zero, uint32_t *biases) {
    int size = l->kernel_size, columns = size + 1, left = size / 2, n;
    const int16_t *above = table + top * columns, *below = table + bottom * columns;
    int32_t row = below[size] - above[size];
    int64_t inner = b + (table[columns * columns - 1] - row) * zero;
    for (n = l->out_size; n > 0; n--, biases += 2, left -= l->stride) {
        int right = l->in_size + left;
        int64_t bias = inner;
        if (left > 0) bias += (below[left] - above[left]) * zero;
        if (right < size) bias += (row - below[right] + above[right]) * zero;
        biases[0] = (uint32_t)bias, biases[1] = (uint32_t)((uint64_t)bias >> 32);
    }
}

static inline int64_t bias_at(const uint32_t *biases) {
    return (int64_t)(biases[0] | (uint64_t)biases[1] << 32);
}

/* Weights of one channel in pairs of one row, the last one alone, and the table of the sums of
   those above and to the left. */
KERNEL void unpack_window(const layer *l, uint32_t channel, uint32_t *pairs, int16_t *table) {
    uint32_t size = l->kernel_size, columns = size + 1, bits = l->w_bits, i, j;
    uint32_t at = channel * size * size * bits;
    int32_t half = 1 << (bits - 1), mask = 2 * half - 1;
    const uint8_t *bytes = (const uint8_t *)l->weights;
    for (i = 0; i < columns; i++) table[i] = 0;
    for (i = size; i > 0; i--) {
        int32_t sum = 0, w = 0, before = 0;
        *(table + columns) = 0;
        for (j = size; j > 0; j--, at += bits) {
            w = ((int32_t)((bytes[at / 8] | (uint32_t)bytes[at / 8 + 1] << 8) >> at % 8) & mask) - half;
            sum += w, table++;
            table[columns] = (int16_t)(*table + sum);
            if (j & 1) {
                before = w;
            } else {
                *pairs++ = pair_of(before, w);
            }
        }
        *pairs++ = pair_of(w, 0), table++;
    }
}

/* Codes of one channel in the middle of a plane of int16. */
KERNEL void fill_plane(const layer *l, const uint8_t *in, uint32_t channel, uint8_t *plane) {
    uint32_t bytes = pixel_bytes(l->in_channels, l->in_bits), gap = 4 * (l->kernel_size / 2u), x, y;
    uint32_t shift = l->in_bits > 4 ? 0 : (channel & 1) * 4, mask = l->in_bits > 4 ? 0xFF : 0x0F;
    in += l->in_bits > 4 ? channel : channel / 2;
    plane += (2u * l->in_size + gap + 2) * (gap / 4);
    for (y = l->in_size; y > 0; y--, plane += gap) {
        for (x = l->in_size; x > 0; x--, plane += 2, in += bytes) *plane = *in >> shift & mask;
    }
}

/* A row of outputs of one channel from its plane; `at` is the index of the first. */
KERNEL void put_window_row(const layer *l, uint32_t *arena, const uint8_t *plane,
                           const uint32_t *weights, const uint32_t *biases, uint32_t at, uint32_t c) {
    uint32_t row_bytes = 2 * (l->in_size + (l->kernel_size & ~1u)), stride = 2u * l->stride;
    uint32_t out_bytes = pixel_bytes(l->out_channels, l[1].in_bits);
    uint32_t kept = c & 1 ? 0x0F : 0xF0, place = (c & 1) * 4;
    uint8_t *out = (uint8_t *)(arena + l->out) + at * out_bytes + c / 2;
    int32_t m = l->channels[2 * c], lowest = l->lowest, top = l[1].in_top, shift = l->acc_shift;
    int n = l->out_size, is_plain = l->target == CODES && l[1].in_bits <= 4;
    for (; n > 0; n -= 2, biases += 4, plane += 2 * stride) {
        const uint8_t *x0 = plane, *x1 = n > 1 ? plane + stride : plane;
        const uint32_t *pairs = weights;
        int32_t a0 = 0, a1 = 0, q;
        int rows = l->kernel_size;
        do {
            uint32_t w = pairs[0];
            a0 = dot2(word_at(x0), w, a0), a1 = dot2(word_at(x1), w, a1);
            w = pairs[1], pairs += 2;
            a0 = dot2(word_at(x0 + 4), w, a0), a1 = dot2(word_at(x1 + 4), w, a1);
            if (l->kernel_size > 3) {
                w = *pairs++;
                a0 = dot2(word_at(x0 + 8), w, a0), a1 = dot2(word_at(x1 + 8), w, a1);
            }
            if (LARGEST_KERNEL > 5 && l->kernel_size > 5) {
                w = *pairs++;
                a0 = dot2(word_at(x0 + 12), w, a0), a1 = dot2(word_at(x1 + 12), w, a1);
            }
            x0 += row_bytes, x1 += row_bytes;
        } while (--rows > 0);
        if (is_plain) {
            q = code_from(a0, shift, m, bias_at(biases), lowest, top);
            *out = (uint8_t)((*out & kept) | (uint32_t)q << place), out += out_bytes;
            if (n == 1) return;
            q = code_from(a1, shift, m, bias_at(biases + 2), lowest, top);
            *out = (uint8_t)((*out & kept) | (uint32_t)q << place), out += out_bytes;
        } else {
            put_value(l, arena, at++, c, product(l, a0, m) + bias_at(biases));
            if (n > 1) put_value(l, arena, at++, c, product(l, a1, m) + bias_at(biases + 2));
        }
    }
}

KERNEL void depthwise(const layer *l, uint32_t *arena) {
    const uint8_t *in = (const uint8_t *)(arena + l->codes);
    int size = l->kernel_size, pad = size / 2, in_size = l->in_size, out_size = l->out_size;
    uint32_t side = l->in_size + 2u * (l->kernel_size / 2u), c, i, pairs[28];
    uint32_t *biases = arena + l->scratch;
    uint8_t *plane = (uint8_t *)(biases + 2 * out_size);
    int16_t table[64];
    for (i = 0; i < side * side + 2; i++) plane[2 * i] = l->zero_code, plane[2 * i + 1] = 0;
    for (c = 0; c < l->out_channels; c++) {
        int64_t b = shifted(l->channels[2 * c + 1], l->bias_shift), zero = zero_of(l, l->channels[2 * c]);
        int y, before = -1;
        unpack_window(l, c, pairs, table);
        fill_plane(l, in, c, plane);
        for (y = 0; y < out_size; y++) {
            int top = pad - y * l->stride, bottom = in_size + top;
            top = top < 0 ? 0 : top, bottom = bottom > size ? size : bottom;
            if (before != top * 8 + bottom) row_biases(l, top, bottom, table, b, zero, biases);
            before = top * 8 + bottom;
            put_window_row(l, arena, plane + (uint32_t)(y * l->stride) * 2 * side, pairs, biases,
                           (uint32_t)(y * out_size), c);
        }
    }
}

/* A row of the image in int16 between two pixels of padding. */
static void fill_row(const layer *l, const uint8_t *image, int y, uint8_t *row) {
    const int32_t *grid = l->channels + 2 * l->out_channels;
    int32_t highest = l->w_bits == 16 ? 32767 : l->in_top, lowest = l->w_bits == 16 ? -32767 : 0;
    int channels = l->in_channels, n = l->in_size * channels, i, c = 0;
    int is_outside = y < 0 || y >= l->in_size;
    image += is_outside ? 0 : y * n;
    for (i = -channels; i < n + channels; i++, row += 2) {
        int32_t value = l->zero_code;
        if (!is_outside && i >= 0 && i < n) {
            value = within((image[i] * grid[2 * c] + grid[2 * c + 1]) >> l->code_shift, lowest, highest);
            c = c + 1 < channels ? c + 1 : 0;
        }
        row[0] = (uint8_t)((uint32_t)value & 0xFF), row[1] = (uint8_t)((uint32_t)value >> 8 & 0xFF);
    }
}

/* Ones where a window lies on padding. */
SMALL void put_mask(const layer *l, int y, int x, uint32_t n_words, uint32_t *mask) {
    int n = 3 * l->in_channels, row, j;
    for (row = 0; row < 3; row++, y++, mask += n_words) {
        for (j = 0; j < n; j++) {
            int column = x + j / l->in_channels;
            uint32_t is_outside = y < 0 || y >= l->in_size || column < 0 || column >= l->in_size;
            mask[j / 2] = j & 1 ? mask[j / 2] | is_outside << 16 : is_outside;
        }
    }
}

/* 3x3 on the image. Weights of 16 bits multiply pixels of 16 bits, those of 8 bits codes. In each
   of the three rows that are kept, a window is a run of int16. */
SMALL void stem(const layer *l, uint32_t *arena, const uint8_t *image) {
    uint32_t channels = l->in_channels, n_words = (3 * channels + 1) / 2, n = 3 * n_words, c, i, j;
    uint32_t row_bytes = ((l->in_size + 2u) * channels + 2) / 2 * 4, *patch = arena + l->scratch;
    uint32_t *mask = patch + n, *pairs = mask + n;
    uint8_t *rows = (uint8_t *)(pairs + n * l->out_channels);
    int32_t *stream = (int32_t *)(arena + l->out);
    int y, x, next = -1;
    for (i = 0; i < n * l->out_channels; i++) {
        const uint8_t *weights = (const uint8_t *)l->weights;
        pairs[i] = pair_of(field(weights, 2 * i, l->w_bits), field(weights, 2 * i + 1, l->w_bits));
    }
    for (y = -1; y < l->in_size - 1; y += l->stride) {
        for (; next <= y + 2; next++) {
            fill_row(l, image, next, rows + row_bytes * ((uint32_t)(next + 3) % 3));
        }
        for (x = -1; x < l->in_size - 1; x += l->stride) {
            int is_border = y < 0 || y + 3 > l->in_size || x < 0 || x + 3 > l->in_size;
            const uint32_t *w = pairs;
            const int32_t *own = l->channels;
            uint32_t *to = patch;
            for (i = 0; i < 3; i++) {
                const uint8_t *from = rows + row_bytes * (((uint32_t)(y + 3) + i) % 3) +
                                      2 * channels * (uint32_t)(x + 1);
                for (j = 0; j < n_words; j++, from += 4) *to++ = word_at(from);
            }
            if (is_border) put_mask(l, y, x, n_words, mask);
            for (c = 0; c < l->out_channels; c++, own += 2) {
                int32_t acc = 0, miss = 0;
                int64_t v = shifted(own[1], l->bias_shift);
                for (i = 0; is_border && i < n; i++) miss = dot2(mask[i], w[i], miss);
                for (to = patch; to != mask; to++, w++) acc = dot2(*to, *w, acc);
                if (miss != 0) v += miss * zero_of(l, own[0]);
                *stream++ = stream_of(l, v + (int64_t)acc * own[0]);
            }
        }
    }
}

#if HAS_GATES
/* Squeeze-and-excite: means over the map, and two layers on them with weights of 16 bits. */
SMALL int32_t excited(const layer *l, const int32_t *values, uint32_t channel) {
    int64_t sum = 0;
    uint32_t i, at = channel * l->in_channels;
    for (i = 0; i < l->in_channels; i++, at++) {
        sum += (int64_t)values[i] * low_half(l->weights[at / 2] >> (at & 1) * 16);
    }
    return clamped((sum >> l->shift) + l->channels[channel]);
}

SMALL void squeeze(const layer *l, uint32_t *arena) {
    const int32_t *stream = (const int32_t *)(arena + l[-1].out);
    int32_t *means = (int32_t *)(arena + l->scratch), *out = (int32_t *)(arena + l->out);
    uint32_t c, p, n = (uint32_t)l->in_size * l->in_size;
    for (c = 0; c < l->in_channels; c++) {
        int64_t sum = 0;
        for (p = 0; p < n; p++) sum += stream[p * l->in_channels + c];
        means[c] = (int32_t)(sum >> l->pool_shift);
    }
    for (c = 0; c < l->out_channels; c++) out[c] = excited(l, means, c) < 0 ? 0 : excited(l, means, c);
}

SMALL void gate(const layer *l, uint32_t *arena) {
    const int32_t *stream = (const int32_t *)(arena + l->codes);
    int32_t *gates = (int32_t *)(arena + l->scratch);
    uint8_t *pixel = (uint8_t *)(arena + l->out);
    uint32_t c, n = (uint32_t)l->in_size * l->in_size;
    for (c = 0; c < l->out_channels; c++) {
        gates[c] = gate_of(excited(l, (const int32_t *)(arena + l[-1].out), c));
    }
    for (; n > 0; n--, pixel += pixel_bytes(l->out_channels, l[1].in_bits)) {
        for (c = 0; c < l->out_channels; c++, stream++) {
            put_code(pixel, c, l[1].in_bits, code_of(l + 1, gated(*stream, gates[c])));
        }
    }
}

#endif

static inline void run_layer(const layer *l, uint32_t *arena, const uint8_t *image) {
    if (l->reads_stream) read_stream(l, arena);
    switch (l->kind) {
        case STEM: stem(l, arena, image); break;
        case POINTWISE: pointwise(l, arena); break;
#if HAS_GATES
        case SQUEEZE: squeeze(l, arena); break;
        case GATE: gate(l, arena); break;
#endif
        default: depthwise(l, arena); break;
    }
}

/* Runs layers one after the other; what comes back is the last one. */
static const layer *run(const layer *l, uint32_t *arena, const uint8_t *image) {
    while (run_layer(l, arena, image), !l->is_last) l++;
    return l;
}

SMALL void copy_values(const layer *l, const uint32_t *arena, int32_t *values) {
    const int32_t *from = (const int32_t *)(arena + l->out);
    int n;
    for (n = l->out_channels; n > 0; n--) *values++ = *from++;
}

SMALL int index_of_largest(const layer *l, const uint32_t *arena) {
    const int32_t *values = (const int32_t *)(arena + l->out);
    int i, best = 0;
    for (i = 1; i < l->out_channels; i++) {
        if (values[i] > values[best]) best = i;
    }
    return best;
}
