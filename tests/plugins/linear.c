/* bit_linear as a plugin: the layer in float32 with RMS norm, plain loops. One variant multiplies fake-quantised operands, one
 * integer codes, one is the backward, and one of each forgets something: tests/plugin_test.cpp. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "normquant_plugin.h"

enum { forgets = 1 };

static float clamped(float value, float least, float most) { return fminf(fmaxf(value, least), most); }
static float at(const normquant_const_matrix* m, int64_t i, int64_t j) {
  return ((const float*)m->data)[i * m->ld + j];
}
static float* put(const normquant_matrix* m, int64_t i, int64_t j) { return (float*)m->data + i * m->ld + j; }
static float weight_of(const normquant_bit_linear* l, int64_t j) {
  return l->norm_weight.data ? ((const float*)l->norm_weight.data)[j] : 1.0F;
}
static float rounded(float value, int32_t rounding) {
  return rounding == NORMQUANT_HALF_EVEN ? rintf(value) : roundf(value);
}

/* The row's codes, as floats, into `code`; answers their quant_scale. */
static float quantise(const normquant_bit_linear* l, const float* h, float rstd, float* code) {
  float largest = 0;
  for (int64_t j = 0; j < l->k_in; ++j) {
    code[j] = h[j] * rstd * weight_of(l, j);
    largest = fmaxf(largest, fabsf(code[j]));
  }
  const float scale = 127.0F / fmaxf(largest, 1e-5F);
  for (int64_t j = 0; j < l->k_in; ++j) code[j] = clamped(rounded(code[j] * scale, l->rounding), -128, 127);
  return scale;
}

static int forward(const normquant_variant* self, const void* args, const normquant_device* device, void* workspace,
                   void* stream, char* why, size_t why_size) {
  (void)device, (void)workspace, (void)stream, (void)why, (void)why_size;
  const normquant_bit_linear_forward_args* a = args;
  const normquant_bit_linear* l = &a->layer;
  const normquant_linear_weights* w = &l->weights;
  const int codes = self->multiplies_codes;
  float factor = 1, *weights = malloc(sizeof(float) * (size_t)(l->k_in * l->k_out));
  float* code = malloc(sizeof(float) * (size_t)l->k_in);
  float* h = malloc(sizeof(float) * (size_t)l->k_in);
  if (a->linear_weight.data) {
    double sum = 0;
    for (int64_t i = 0; i < l->k_out; ++i) {
      for (int64_t j = 0; j < l->k_in; ++j) sum += fabsf(at(&a->linear_weight, i, j));
    }
    factor = fmaxf((float)(sum / (double)(l->k_in * l->k_out)), 1e-5F);
  } else if (w->dequant_factor) {
    factor = *w->dequant_factor;
  }
  for (int64_t i = 0; i < l->k_out; ++i) {
    for (int64_t j = 0; j < l->k_in; ++j) {
      float ternary = 0;
      if (a->linear_weight.data) {
        ternary = clamped(rintf(at(&a->linear_weight, i, j) * (1.0F / factor)), -1, 1);
        if (w->operand.data) *put(&w->operand, i, j) = ternary * factor;
        if (w->codes) w->codes[i * w->ld_codes + j] = (int8_t)ternary;
      } else if (w->codes) {
        ternary = w->codes[i * w->ld_codes + j];
      }
      weights[i * l->k_in + j] = codes ? ternary : ternary * factor;
    }
  }
  if (a->linear_weight.data && w->dequant_factor) *w->dequant_factor = factor;
  for (int64_t i = 0; i < a->rows; ++i) {
    double squares = 0;
    for (int64_t j = 0; j < l->k_in; ++j) {
      h[j] = at(&a->x, i, j);
      squares += (double)h[j] * h[j];
    }
    const float rstd = 1.0F / sqrtf((float)(squares / (double)l->k_in) + l->eps);
    if (a->rstd) a->rstd[i] = rstd;
    const float scale = quantise(l, h, rstd, code);
    for (int64_t o = 0; o < l->k_out; ++o) {
      double sum = 0;
      for (int64_t j = 0; j < l->k_in; ++j)
        sum += (double)(codes ? code[j] : code[j] / scale) * weights[o * l->k_in + j];
      if (codes) sum = sum / scale * factor;
      if (l->adds_bias && self->context == NULL) sum += ((const float*)l->linear_bias.data)[o];
      *put(&a->out, i, o) = (float)sum;
    }
  }
  free(weights), free(code), free(h);
  return 0;
}

static int backward(const normquant_variant* self, const void* args, const normquant_device* device, void* workspace,
                    void* stream, char* why, size_t why_size) {
  (void)device, (void)workspace, (void)stream, (void)why, (void)why_size;
  const normquant_bit_linear_backward_args* a = args;
  const normquant_bit_linear* l = &a->layer;
  const int64_t k_in = l->k_in, k_out = l->k_out;
  double* dlinear = calloc((size_t)(k_in * k_out), sizeof(double));
  double* dweight = calloc((size_t)k_in, sizeof(double));
  double* dy = malloc(sizeof(double) * (size_t)k_in);
  float* code = malloc(sizeof(float) * (size_t)k_in);
  for (int64_t i = 0; i < a->rows; ++i) {
    const float* h = (const float*)a->h.data + i * a->h.ld;
    const float rstd = a->rstd[i], scale = quantise(l, h, rstd, code);
    double c1 = 0;
    for (int64_t j = 0; j < k_in; ++j) {
      dy[j] = 0;
      for (int64_t o = 0; o < k_out; ++o) {
        dy[j] += (double)at(&a->dout, i, o) * *put(&l->weights.operand, o, j);
        dlinear[o * k_in + j] += (double)at(&a->dout, i, o) * (code[j] / scale);
      }
      dy[j] = (float)dy[j];
      dweight[j] += dy[j] * h[j] * rstd;
      c1 += (double)h[j] * rstd * dy[j] * weight_of(l, j);
    }
    c1 /= (double)k_in;
    for (int64_t j = 0; j < k_in; ++j) {
      double dx = (dy[j] * weight_of(l, j) - (double)h[j] * rstd * c1) * rstd;
      if (a->dresidual.data && self->context == NULL) dx += at(&a->dresidual, i, j);
      *put(&a->dx, i, j) = (float)dx;
    }
  }
  for (int64_t j = 0; j < k_in; ++j) {
    if (a->dnorm_weight.data) ((float*)a->dnorm_weight.data)[j] = (float)dweight[j];
    for (int64_t o = 0; a->dlinear_weight.data && o < k_out; ++o)
      *put(&a->dlinear_weight, o, j) = (float)dlinear[o * k_in + j];
  }
  for (int64_t o = 0; a->dlinear_bias.data && o < k_out; ++o) {
    double sum = 0;
    for (int64_t i = 0; i < a->rows; ++i) sum += at(&a->dout, i, o);
    ((float*)a->dlinear_bias.data)[o] = (float)sum;
  }
  free(dlinear), free(dweight), free(dy), free(code);
  return 0;
}

/* What every tensor of these loops is: float32, or not given. */
static int plain(int32_t dtype, const void* data) { return data == NULL || dtype == NORMQUANT_FLOAT32; }
static int refuse(char* why, size_t why_size) {
  snprintf(why, why_size, "reads and writes float32, has RMS norm without bias, and no residual");
  return 1;
}
static int plain_layer(const normquant_bit_linear* l) {
  return l->norm == NORMQUANT_RMS && l->operand == NORMQUANT_FLOAT32 && !l->norm_bias.data &&
         plain(l->norm_weight.dtype, l->norm_weight.data) && plain(l->linear_bias.dtype, l->linear_bias.data) &&
         plain(l->weights.operand.dtype, l->weights.operand.data);
}
static int why_not_forward(const normquant_variant* self, const void* args, const normquant_device* device, char* why,
                           size_t why_size) {
  (void)self, (void)device;
  const normquant_bit_linear_forward_args* a = args;
  const int serves = plain_layer(&a->layer) && plain(a->linear_weight.dtype, a->linear_weight.data) &&
                     a->x.dtype == NORMQUANT_FLOAT32 && a->out.dtype == NORMQUANT_FLOAT32 && !a->residual.data &&
                     !a->residual_out.data && !a->y_q.codes && !a->y_q.out.data && !a->quant_scale;
  return serves ? 0 : refuse(why, why_size);
}
static int why_not_backward(const normquant_variant* self, const void* args, const normquant_device* device, char* why,
                            size_t why_size) {
  (void)self, (void)device;
  const normquant_bit_linear_backward_args* a = args;
  const int serves = plain_layer(&a->layer) && plain(a->dout.dtype, a->dout.data) && plain(a->h.dtype, a->h.data) &&
                     plain(a->dresidual.dtype, a->dresidual.data) && plain(a->dx.dtype, a->dx.data) &&
                     plain(a->dlinear_weight.dtype, a->dlinear_weight.data) && !a->dx_residual.data &&
                     !a->quant_scale && plain(a->dlinear_bias.dtype, a->dlinear_bias.data) &&
                     plain(a->dnorm_weight.dtype, a->dnorm_weight.data);
  return serves ? 0 : refuse(why, why_size);
}

#define FORWARD(called, codes, mistake)                                                                               \
  {                                                                                                                   \
    .operation = NORMQUANT_BIT_LINEAR_FORWARD, .devices = NORMQUANT_HOST, .reproducible = 1, .name = (called),        \
    .multiplies_codes = (codes), .context = (void*)(intptr_t)(mistake), .why_not = why_not_forward, .launch = forward \
  }
#define BACKWARD(called, mistake)                                                                               \
  {                                                                                                             \
    .operation = NORMQUANT_BIT_LINEAR_BACKWARD, .devices = NORMQUANT_HOST, .reproducible = 1, .name = (called), \
    .context = (void*)(intptr_t)(mistake), .why_not = why_not_backward, .launch = backward                      \
  }
static const normquant_variant variants[] = {FORWARD("fake", 0, 0), FORWARD("codes", 1, 0),
                                             FORWARD("forgets_the_bias", 0, forgets), BACKWARD("back", 0),
                                             BACKWARD("forgets_dresidual", forgets)};
static const normquant_plugin_table table = {NORMQUANT_PLUGIN_ABI, sizeof variants / sizeof *variants, "linear",
                                             variants};

NORMQUANT_PLUGIN_EXPORT const normquant_plugin_table* normquant_plugin_entry(uint32_t abi) {
  return abi == NORMQUANT_PLUGIN_ABI ? &table : NULL;
}
