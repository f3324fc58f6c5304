/* Integer kernels. Codes of up to 4 bits lie two in a byte, wider ones one in a byte, channels of a
   pixel side by side and filled up to a multiple of eight. Streams are int32 with 20 fraction bits.
   Weights of 1x1 layers are unpacked once for two output channels and all pixels, those of
   depthwise layers once for a channel; activations are multiplied as they lie. */

#if defined(__ARM_FEATURE_SIMD32)
#include <arm_acle.h>
#endif

#define ARITHMETIC_SHIFT_IS_NEEDED ((-1 >> 1) == -1 ? 1 : -1)
typedef char arithmetic_shift_is_needed[ARITHMETIC_SHIFT_IS_NEEDED];

enum { STEM, POINTWISE, DEPTHWISE, SQUEEZE, GATE };
enum { CODES, ACTIVATED, POOLED, STREAM };
enum { NONE, RELU, HSWISH };

typedef struct {
    int64_t t;               /* a stream's code of 0, and one half */
    const uint32_t *weights; /* packed */
    const int32_t *channels; /* multiplier and bias of each channel */
    int32_t k;               /* codes per unit of a stream */
    int32_t zero;            /* fraction of the zero code, 22 fraction bits */
    uint32_t in, out, codes, scratch; /* words in the arena; codes: those made of a stream */
    uint16_t in_channels, out_channels;
    uint8_t kind, target, activation, adds, reads_stream, has_own_constants;
    uint8_t in_size, out_size, kernel_size, stride, w_bits, in_bits, out_bits;
    uint8_t code_shift, in_top, lowest, top, zero_code, acc_shift, bias_shift, shift, pool_shift;
} layer;

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

static inline int64_t shifted(int32_t value, int shift) {
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
static inline int32_t code_of(const layer *l, int32_t stream) {
    int64_t v = (int64_t)stream * l->k + l->t;
    return within((int32_t)(v >> 32) >> l->code_shift, 0, l->in_top);
}

static int32_t gate_of(int32_t stream) {
    int32_t sixths = within(stream, -(3 << 20), 3 << 20) + (3 << 20);
    return (int32_t)((int64_t)sixths * 178956971 >> 24);
}

static int32_t gated(int32_t stream, int32_t gate) {
    return (int32_t)(((int64_t)stream * gate + (1 << 25)) >> 26);
}

static int32_t clamped(int64_t stream) {
    return stream > 1 << 30 ? 1 << 30 : stream < -(1 << 30) ? -(1 << 30) : (int32_t)stream;
}

/* What a layer gives that gives no codes at once: its stream after activation. */
static int32_t stream_of(const layer *l, int64_t v) {
    int32_t stream = clamped(v >> l->shift);
    if (l->activation == RELU) return stream < 0 ? 0 : stream;
    if (l->activation == HSWISH) return gated(stream, gate_of(stream));
    return stream;
}

/* Puts the value of one output where it belongs, except into pools. */
static void put_value(const layer *l, uint32_t *arena, uint32_t pixel, uint32_t channel, int64_t v) {
    uint8_t *codes = (uint8_t *)(arena + l->out);
    int32_t code;
    if (l->target == STREAM) {
        int32_t *stream = (int32_t *)(arena + l->out) + pixel * l->out_channels + channel;
        *stream = l->adds ? clamped((int64_t)stream_of(l, v) + *stream) : stream_of(l, v);
        return;
    }
    code = l->target == CODES ? within((int32_t)(v >> 32), l->lowest, l->top)
                              : code_of(l + 1, stream_of(l, v));
    put_code(codes + pixel * pixel_bytes(l->out_channels, l->out_bits), channel, l->out_bits, code);
}

static inline int64_t product(const layer *l, int32_t acc, int32_t m) {
    return (int64_t)(int32_t)((uint32_t)acc << l->acc_shift) * m;
}

/* What the fraction of the zero is worth. */
static inline int64_t zero_of(const layer *l, int32_t m) {
    return (int64_t)l->zero * m >> (22 - l->acc_shift);
}

/* Value `index` of `bits` bits each, packed one after the other. */
static inline int32_t field(const uint8_t *bytes, uint32_t index, uint32_t bits) {
    uint32_t at = index * bits;
    uint32_t window = (bytes[at / 8] | (uint32_t)bytes[at / 8 + 1] << 8) >> at % 8;
    return (int32_t)(window & ((1u << bits) - 1)) - (1 << (bits - 1));
}

static void read_stream(const layer *l, uint32_t *arena) {
    const int32_t *stream = (const int32_t *)(arena + l->in);
    uint8_t *pixel = (uint8_t *)(arena + l->codes);
    uint32_t n = (uint32_t)l->in_size * l->in_size, c;
    for (; n > 0; n--, pixel += pixel_bytes(l->in_channels, l->in_bits)) {
        for (c = 0; c < l->in_channels; c++) put_code(pixel, c, l->in_bits, code_of(l, *stream++));
    }
}

/* Weights of output channels 2r and 2r + 1 as pairs of int16: for each eight inputs those of
   inputs 0 and 4, 1 and 5, 2 and 6, 3 and 7, the two channels by turns. */
static void unpack_rows(const layer *l, uint32_t r, uint32_t units, uint32_t *pairs) {
    const uint32_t *w = l->weights;
    uint32_t n, j;
    if (l->w_bits == 2) {
        for (w += r * units, n = units; n > 0; n--, w++, pairs += 8) {
            for (j = 0; j < 8; j++) pairs[j] = minus2(*w >> 2 * j & 0x00030003, 0x00020002);
        }
    } else if (l->w_bits == 3) {
        const uint8_t *high = (const uint8_t *)(w + (l->out_channels + 1u) / 2 * units) + 2 * r * units;
        for (w += r * units, n = units; n > 0; n--, w++, high += 2, pairs += 8) {
            uint32_t h = high[0] | (uint32_t)high[1] << 16;
            for (j = 0; j < 8; j++) {
                uint32_t pair = (*w >> 2 * j & 0x00030003) | (h >> j & 0x00010001) << 2;
                pairs[j] = minus2(pair, 0x00040004);
            }
        }
    } else if (l->w_bits == 4) {
        for (w += 2 * r * units, n = 2 * units; n > 0; n--, w++, pairs += 4) {
            for (j = 0; j < 4; j++) pairs[j] = minus2(*w >> 4 * j & 0x000F000F, 0x00080008);
        }
    } else {
        for (w += 4 * r * units, n = 4 * units; n > 0; n--, w++, pairs += 2) {
            for (j = 0; j < 2; j++) pairs[j] = minus2(*w >> 8 * j & 0x00FF00FF, 0x00800080);
        }
    }
}

/* Sums of products of two pixels and two channels. */
static inline void dot_2x2(const uint8_t *x0, const uint8_t *x1, const uint32_t *pairs,
                           uint32_t units, int is_packed, int32_t *acc) {
    int32_t a00 = 0, a01 = 0, a10 = 0, a11 = 0;
    for (; units > 0; units--, pairs += 8) {
        int j;
        if (is_packed) {
            uint32_t p = word_at(x0), q = word_at(x1);
            for (j = 0; j < 4; j++) {
                uint32_t a = p >> 4 * j & 0x000F000F, b = q >> 4 * j & 0x000F000F;
                a00 = dot2(a, pairs[2 * j], a00);
                a01 = dot2(b, pairs[2 * j], a01);
                a10 = dot2(a, pairs[2 * j + 1], a10);
                a11 = dot2(b, pairs[2 * j + 1], a11);
            }
            x0 += 4, x1 += 4;
        } else {
            for (j = 0; j < 4; j++) {
                uint32_t a = x0[j] | (uint32_t)x0[j + 4] << 16, b = x1[j] | (uint32_t)x1[j + 4] << 16;
                a00 = dot2(a, pairs[2 * j], a00);
                a01 = dot2(b, pairs[2 * j], a01);
                a10 = dot2(a, pairs[2 * j + 1], a10);
                a11 = dot2(b, pairs[2 * j + 1], a11);
            }
            x0 += 8, x1 += 8;
        }
    }
    acc[0] = a00, acc[1] = a01, acc[2] = a10, acc[3] = a11;
}

static void pointwise(const layer *l, uint32_t *arena) {
    const uint8_t *in = (const uint8_t *)(arena + (l->reads_stream ? l->codes : l->in));
    uint32_t *pairs = arena + l->scratch;
    uint32_t units = (l->in_channels + 7u) / 8, n = (uint32_t)l->out_size * l->out_size, c, p, i;
    uint32_t in_bytes = pixel_bytes(l->in_channels, l->in_bits);
    uint32_t out_bytes = pixel_bytes(l->out_channels, l->out_bits);
    int32_t acc[4];
    for (c = 0; c < l->out_channels; c += 2) {
        const int32_t *own = l->channels + (l->has_own_constants ? 2 * c : 0);
        int32_t m0 = own[0], m1 = l->has_own_constants ? own[2] : own[0];
        int64_t b0 = shifted(own[1], l->bias_shift);
        int64_t b1 = l->has_own_constants ? shifted(own[3], l->bias_shift) : b0;
        int64_t sums[2] = {0, 0};
        const uint8_t *x = in;
        uint8_t *y = (uint8_t *)(arena + l->out) + (l->out_bits > 4 ? c : c / 2);
        unpack_rows(l, c / 2, units, pairs);
        if (!l->has_own_constants) {
            int32_t s0 = 0, s1 = 0;
            for (i = 0; i < 8 * units; i += 2) {
                s0 = dot2(pairs[i], 0x00010001, s0), s1 = dot2(pairs[i + 1], 0x00010001, s1);
            }
            b0 += s0 * zero_of(l, m0), b1 += s1 * zero_of(l, m1);
        }
        for (p = 0; p < n; p += 2, x += 2 * in_bytes) {
            int is_pair = p + 1 < n;
            const uint8_t *x1 = is_pair ? x + in_bytes : x;
            if (l->in_bits > 4) {
                dot_2x2(x, x1, pairs, units, 0, acc);
            } else {
                dot_2x2(x, x1, pairs, units, 1, acc);
            }
            if (l->target == CODES && l->out_bits <= 4) {
                int32_t q0 = within((int32_t)((product(l, acc[0], m0) + b0) >> 32), l->lowest, l->top);
                int32_t q1 = within((int32_t)((product(l, acc[2], m1) + b1) >> 32), l->lowest, l->top);
                *y = (uint8_t)(q0 | q1 << 4), y += out_bytes;
                if (!is_pair) break;
                q0 = within((int32_t)((product(l, acc[1], m0) + b0) >> 32), l->lowest, l->top);
                q1 = within((int32_t)((product(l, acc[3], m1) + b1) >> 32), l->lowest, l->top);
                *y = (uint8_t)(q0 | q1 << 4), y += out_bytes;
                continue;
            }
            for (i = 0; i < 4; i++) {
                int64_t v = product(l, acc[i], i < 2 ? m0 : m1) + (i < 2 ? b0 : b1);
                if ((i % 2 && !is_pair) || c + i / 2 >= l->out_channels) continue;
                if (l->target == POOLED) {
                    sums[i / 2] += stream_of(l, v);
                } else {
                    put_value(l, arena, p + i % 2, c + i / 2, v);
                }
            }
        }
        for (i = 0; l->target == POOLED && i < 2 && c + i < l->out_channels; i++) {
            int32_t code = code_of(l + 1, (int32_t)(sums[i] >> l->pool_shift));
            put_code((uint8_t *)(arena + l->out), c + i, l->out_bits, code);
        }
    }
}

/* Sums of products of two pixels of a padded plane of int16 with one kernel. */
static inline void dot_window(const uint8_t *x0, const uint8_t *x1, uint32_t row_bytes,
                              const uint32_t *pairs, int size, int32_t *acc) {
    int32_t a0 = 0, a1 = 0;
    int i, j;
    for (i = 0; i < size; i++, x0 += row_bytes, x1 += row_bytes) {
        for (j = 0; j < (size + 1) / 2; j++, pairs++) {
            a0 = dot2(word_at(x0 + 4 * j), *pairs, a0);
            a1 = dot2(word_at(x1 + 4 * j), *pairs, a1);
        }
    }
    acc[0] = a0, acc[1] = a1;
}

static void depthwise(const layer *l, uint32_t *arena) {
    const uint8_t *in = (const uint8_t *)(arena + (l->reads_stream ? l->codes : l->in));
    const uint8_t *weights = (const uint8_t *)l->weights;
    uint8_t *plane = (uint8_t *)(arena + l->scratch);
    int size = l->kernel_size, pad = size / 2, in_size = l->in_size, out_size = l->out_size;
    int side = in_size + 2 * pad, c, x, y, i, j;
    uint32_t in_bytes = pixel_bytes(l->in_channels, l->in_bits);
    int16_t table[64]; /* sums of the weights above and to the left */
    uint32_t pairs[28];
    for (i = 0; i < side * side + 2; i++) plane[2 * i] = l->zero_code, plane[2 * i + 1] = 0;
    for (c = 0; c < l->out_channels; c++) {
        const uint8_t *from = in;
        uint8_t *to = plane + 2 * (side * pad + pad);
        int32_t m = l->channels[2 * c];
        int64_t b = shifted(l->channels[2 * c + 1], l->bias_shift), zero = zero_of(l, m);
        int columns = size + 1, n_pairs = columns / 2;
        for (i = 0; i < columns; i++) table[i] = 0;
        for (i = 0; i < size; i++) {
            int32_t sum = 0, w = 0, before;
            table[(i + 1) * columns] = 0;
            for (j = 0; j < size; j++) {
                before = w;
                w = field(weights, (uint32_t)((c * size + i) * size + j), l->w_bits);
                sum += w;
                table[(i + 1) * columns + j + 1] = (int16_t)(table[i * columns + j + 1] + sum);
                if (j % 2) pairs[i * n_pairs + j / 2] = pair_of(before, w);
            }
            pairs[i * n_pairs + size / 2] = pair_of(w, 0);
        }
        for (y = 0; y < in_size; y++, to += 4 * pad) {
            for (x = 0; x < in_size; x++, to += 2, from += in_bytes) {
                *to = (uint8_t)code_at(from, (uint32_t)c, l->in_bits);
            }
        }
        for (y = 0; y < out_size; y++) {
            int top = pad - y * l->stride, bottom = in_size + top;
            const uint8_t *row = plane + 2 * side * y * l->stride;
            top = top < 0 ? 0 : top, bottom = bottom > size ? size : bottom;
            for (x = 0; x < out_size; x += 2) {
                int32_t acc[2];
                const uint8_t *x0 = row + 2 * x * l->stride;
                const uint8_t *x1 = x + 1 < out_size ? x0 + 2 * l->stride : x0;
                if (size == 3) {
                    dot_window(x0, x1, 2u * (uint32_t)side, pairs, 3, acc);
                } else if (size == 5) {
                    dot_window(x0, x1, 2u * (uint32_t)side, pairs, 5, acc);
                } else {
                    dot_window(x0, x1, 2u * (uint32_t)side, pairs, 7, acc);
                }
                for (i = 0; i < 2 && x + i < out_size; i++) {
                    int64_t v = product(l, acc[i], m) + b;
                    int left = pad - (x + i) * l->stride, right = in_size + left;
                    left = left < 0 ? 0 : left, right = right > size ? size : right;
                    if (bottom - top < size || right - left < size) {
                        int32_t inside = table[bottom * columns + right] - table[top * columns + right] -
                                         table[bottom * columns + left] + table[top * columns + left];
                        v += (table[columns * columns - 1] - inside) * zero;
                    }
                    put_value(l, arena, (uint32_t)(y * out_size + x + i), (uint32_t)c, v);
                }
            }
        }
    }
}

/* 3x3 on the image. Weights of 16 bits multiply pixels of 16 bits, those of 8 bits codes. */
static void stem(const layer *l, uint32_t *arena, const uint8_t *image) {
    uint32_t taps = 9u * l->in_channels, n_pairs = (taps + 1) / 2, c, i, t;
    uint32_t *patch = arena + l->scratch, *mask = patch + n_pairs, *pairs = mask + n_pairs;
    const int32_t *grid = l->channels + 2 * l->out_channels;
    int32_t highest = l->w_bits == 16 ? 32767 : l->in_top, lowest = l->w_bits == 16 ? -32767 : 0;
    int size = l->in_size, row, column, y, x;
    for (c = 0; c < l->out_channels; c++) {
        for (t = 0; t < taps; t++) {
            uint32_t w = (uint32_t)field((const uint8_t *)l->weights, c * taps + t, l->w_bits);
            uint32_t *pair = pairs + c * n_pairs + t / 2;
            *pair = t & 1 ? *pair | w << 16 : w & 0xFFFF;
        }
    }
    for (i = 0; i < (uint32_t)l->out_size * l->out_size; i++) {
        int is_border = 0;
        for (c = 0, t = 0; c < l->in_channels; c++) {
            for (row = 0; row < 3; row++) {
                for (column = 0; column < 3; column++, t++) {
                    uint32_t value = l->zero_code, outside = 1;
                    y = (int)(i / l->out_size) * l->stride + row - 1;
                    x = (int)(i % l->out_size) * l->stride + column - 1;
                    if (y >= 0 && y < size && x >= 0 && x < size) {
                        int32_t pixel = image[(y * size + x) * l->in_channels + (int)c];
                        pixel = (pixel * grid[2 * c] + grid[2 * c + 1]) >> l->code_shift;
                        value = (uint32_t)within(pixel, lowest, highest), outside = 0;
                    }
                    is_border |= (int)outside;
                    patch[t / 2] = t & 1 ? patch[t / 2] | value << 16 : value & 0xFFFF;
                    mask[t / 2] = t & 1 ? mask[t / 2] | outside << 16 : outside;
                }
            }
        }
        for (c = 0; c < l->out_channels; c++) {
            int32_t acc = 0, miss = 0, m = l->channels[2 * c];
            for (t = 0; t < n_pairs; t++) acc = dot2(patch[t], pairs[c * n_pairs + t], acc);
            for (t = 0; is_border && t < n_pairs; t++) miss = dot2(mask[t], pairs[c * n_pairs + t], miss);
            put_value(l, arena, i, c,
                      product(l, acc, m) + shifted(l->channels[2 * c + 1], l->bias_shift) + miss * zero_of(l, m));
        }
    }
}

/* Squeeze-and-excite: means over the map, and two layers on them with weights of 16 bits. */
static int32_t excited(const layer *l, const int32_t *values, uint32_t channel) {
    int64_t sum = 0;
    uint32_t i, at = channel * l->in_channels;
    for (i = 0; i < l->in_channels; i++, at++) {
        sum += (int64_t)values[i] * low_half(l->weights[at / 2] >> (at & 1) * 16);
    }
    return clamped((sum >> l->shift) + l->channels[channel]);
}

static void squeeze(const layer *l, uint32_t *arena) {
    const int32_t *stream = (const int32_t *)(arena + l->in);
    int32_t *means = (int32_t *)(arena + l->scratch), *out = (int32_t *)(arena + l->out);
    uint32_t c, p, n = (uint32_t)l->in_size * l->in_size;
    for (c = 0; c < l->in_channels; c++) {
        int64_t sum = 0;
        for (p = 0; p < n; p++) sum += stream[p * l->in_channels + c];
        means[c] = (int32_t)(sum >> l->pool_shift);
    }
    for (c = 0; c < l->out_channels; c++) out[c] = excited(l, means, c) < 0 ? 0 : excited(l, means, c);
}

static void gate(const layer *l, uint32_t *arena) {
    const int32_t *stream = (const int32_t *)(arena + l->codes);
    int32_t *gates = (int32_t *)(arena + l->scratch);
    uint8_t *pixel = (uint8_t *)(arena + l->out);
    uint32_t c, n = (uint32_t)l->in_size * l->in_size;
    for (c = 0; c < l->out_channels; c++) {
        gates[c] = gate_of(excited(l, (const int32_t *)(arena + l->in), c));
    }
    for (; n > 0; n--, pixel += pixel_bytes(l->out_channels, l->out_bits)) {
        for (c = 0; c < l->out_channels; c++, stream++) {
            put_code(pixel, c, l->out_bits, code_of(l + 1, gated(*stream, gates[c])));
        }
    }
}

static void run(const layer *l, uint32_t n_layers, uint32_t *arena, const uint8_t *image) {
    for (; n_layers > 0; n_layers--, l++) {
        if (l->reads_stream) read_stream(l, arena);
        switch (l->kind) {
            case STEM: stem(l, arena, image); break;
            case POINTWISE: pointwise(l, arena); break;
            case DEPTHWISE: depthwise(l, arena); break;
            case SQUEEZE: squeeze(l, arena); break;
            default: gate(l, arena); break;
        }
    }
}
