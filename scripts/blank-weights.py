"""Writes the weights of a Stable Diffusion 1 model that are all zero: blank-weights.py FILE

A server for images loads them like any other model, and draws a flat image with them in the usual time. So it can be tried without
the weights of a real one. The file is sparse: two gigabytes that take no room on the disk."""

import json
import sys

TENSORS = []


def tensor(name, *shape):
    TENSORS.append((name, list(shape)))


def layer(name, *shape):
    """A layer with a bias."""
    tensor(name + ".weight", *shape)
    tensor(name + ".bias", shape[0])


def text_model():
    base = "cond_stage_model.transformer.text_model."
    tensor(base + "embeddings.token_embedding.weight", 49408, 768)
    tensor(base + "embeddings.position_embedding.weight", 77, 768)
    for n in range(12):
        block = f"{base}encoder.layers.{n}."
        for part in ("q", "k", "v", "out"):
            layer(f"{block}self_attn.{part}_proj", 768, 768)
        layer(block + "layer_norm1", 768)
        layer(block + "layer_norm2", 768)
        layer(block + "mlp.fc1", 3072, 768)
        layer(block + "mlp.fc2", 768, 3072)
    layer(base + "final_layer_norm", 768)


def unet():
    base = "model.diffusion_model."

    def residual(name, before, after):
        layer(name + ".in_layers.0", before)
        layer(name + ".in_layers.2", after, before, 3, 3)
        layer(name + ".emb_layers.1", after, 1280)
        layer(name + ".out_layers.0", after)
        layer(name + ".out_layers.3", after, after, 3, 3)
        if before != after:
            layer(name + ".skip_connection", after, before, 1, 1)

    def attention(name, size):
        layer(name + ".norm", size)
        layer(name + ".proj_in", size, size, 1, 1)
        block = name + ".transformer_blocks.0."
        for part, context in (("attn1", size), ("attn2", 768)):
            tensor(f"{block}{part}.to_q.weight", size, size)
            tensor(f"{block}{part}.to_k.weight", size, context)
            tensor(f"{block}{part}.to_v.weight", size, context)
            layer(f"{block}{part}.to_out.0", size, size)
        layer(block + "ff.net.0.proj", 8 * size, size)
        layer(block + "ff.net.2", size, 4 * size)
        for n in (1, 2, 3):
            layer(f"{block}norm{n}", size)
        layer(name + ".proj_out", size, size, 1, 1)

    layer(base + "time_embed.0", 1280, 320)
    layer(base + "time_embed.2", 1280, 1280)
    layer(base + "input_blocks.0.0", 320, 4, 3, 3)
    sizes = [320, 640, 1280, 1280]
    made, size, index = [320], 320, 1
    for level, wide in enumerate(sizes):
        for _ in range(2):
            residual(f"{base}input_blocks.{index}.0", size, wide)
            size = wide
            if level < 3:
                attention(f"{base}input_blocks.{index}.1", size)
            made.append(size)
            index += 1
        if level < 3:
            layer(f"{base}input_blocks.{index}.0.op", size, size, 3, 3)
            made.append(size)
            index += 1
    residual(base + "middle_block.0", 1280, 1280)
    attention(base + "middle_block.1", 1280)
    residual(base + "middle_block.2", 1280, 1280)
    index = 0
    for level in (3, 2, 1, 0):
        for n in range(3):
            residual(f"{base}output_blocks.{index}.0", size + made.pop(), sizes[level])
            size = sizes[level]
            if level < 3:
                attention(f"{base}output_blocks.{index}.1", size)
            if level > 0 and n == 2:
                layer(f"{base}output_blocks.{index}.{2 if level < 3 else 1}.conv", size, size, 3, 3)
            index += 1
    layer(base + "out.0", 320)
    layer(base + "out.2", 4, 320, 3, 3)


def autoencoder():
    base = "first_stage_model."

    def residual(name, before, after):
        layer(name + ".norm1", before)
        layer(name + ".conv1", after, before, 3, 3)
        layer(name + ".norm2", after)
        layer(name + ".conv2", after, after, 3, 3)
        if before != after:
            layer(name + ".nin_shortcut", after, before, 1, 1)

    def middle(name):
        residual(name + ".mid.block_1", 512, 512)
        layer(name + ".mid.attn_1.norm", 512)
        for part in ("q", "k", "v", "proj_out"):
            layer(f"{name}.mid.attn_1.{part}", 512, 512, 1, 1)
        residual(name + ".mid.block_2", 512, 512)

    sizes = [128, 256, 512, 512]
    layer(base + "encoder.conv_in", 128, 3, 3, 3)
    size = 128
    for level, wide in enumerate(sizes):
        for n in range(2):
            residual(f"{base}encoder.down.{level}.block.{n}", size, wide)
            size = wide
        if level < 3:
            layer(f"{base}encoder.down.{level}.downsample.conv", size, size, 3, 3)
    middle(base + "encoder")
    layer(base + "encoder.norm_out", 512)
    layer(base + "encoder.conv_out", 8, 512, 3, 3)
    layer(base + "quant_conv", 8, 8, 1, 1)
    layer(base + "post_quant_conv", 4, 4, 1, 1)
    layer(base + "decoder.conv_in", 512, 4, 3, 3)
    middle(base + "decoder")
    for level in (3, 2, 1, 0):
        for n in range(3):
            residual(f"{base}decoder.up.{level}.block.{n}", size, sizes[level])
            size = sizes[level]
        if level > 0:
            layer(f"{base}decoder.up.{level}.upsample.conv", size, size, 3, 3)
    layer(base + "decoder.norm_out", 128)
    layer(base + "decoder.conv_out", 3, 128, 3, 3)


def main():
    text_model()
    unet()
    autoencoder()
    header, at = {}, 0
    for name, shape in TENSORS:
        count = 2
        for side in shape:
            count *= side
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [at, at + count]}
        at += count
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(sys.argv[1], "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + at)


if __name__ == "__main__":
    main()
