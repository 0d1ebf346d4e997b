"""Tiny random models of the families with one fixed grid per image, and of those with query tokens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, decoders, normalizers, pre_tokenizers
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    Blip2QFormerConfig,
    Blip2VisionConfig,
    BlipImageProcessorPil,
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    DeepseekVLConfig,
    DeepseekVLForConditionalGeneration,
    DeepseekVLImageProcessorPil,
    DeepseekVLProcessor,
    FastVlmConfig,
    FastVlmForConditionalGeneration,
    FuyuConfig,
    FuyuForCausalLM,
    FuyuImageProcessorPil,
    FuyuProcessor,
    Gemma2Config,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3ImageProcessorPil,
    Gemma3Processor,
    Gemma3TextConfig,
    GemmaConfig,
    InstructBlipConfig,
    InstructBlipForConditionalGeneration,
    InstructBlipProcessor,
    InstructBlipQFormerConfig,
    InstructBlipVisionConfig,
    JanusConfig,
    JanusForConditionalGeneration,
    JanusImageProcessorPil,
    JanusProcessor,
    JanusVisionConfig,
    JanusVQVAEConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    OPTConfig,
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    PaliGemmaProcessor,
    PersimmonConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    ResNetConfig,
    SiglipImageProcessorPil,
    SiglipVisionConfig,
    T5Config,
    VipLlavaConfig,
    VipLlavaForConditionalGeneration,
)

from tests.engine.families.tokenizers import build_tokenizer

SIZE_PX = 64
PATCH_PX = 8
CELLS = (SIZE_PX // PATCH_PX) ** 2
RANGE = 0.2
"""Standard deviation of the weights: at the usual 0.02 attention is so even that a wrong row looks like a right one."""

SQUARE = {"height": SIZE_PX, "width": SIZE_PX}
HALF = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
VISION: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIZE_PX,
    "patch_size": PATCH_PX,
    "initializer_range": RANGE,
}
TEXT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    "initializer_range": RANGE,
}

LLAVA_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'].upper() + ': '}}{% endif %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] + ' '}}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
VIP_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] != 'system' %}"
    "{{ '###' + message['role'].capitalize() + ': '}}{% endif %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] }}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}{{ '###Assistant:' }}{% endif %}"
)
GEMMA_TEMPLATE = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{% set prefix = messages[0]['content'][0]['text'] + '\n\n' %}{% set turns = messages[1:] %}"
    "{% else %}{% set prefix = '' %}{% set turns = messages %}{% endif %}"
    "{% for message in turns %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
    "{{ '<start_of_turn>' + role + '\n' + (prefix if loop.first else '') }}"
    "{% for item in message['content'] %}{% if item['type'] == 'image' %}{{ '<start_of_image>' }}"
    "{% else %}{{ item['text'] | trim }}{% endif %}{% endfor %}{{ '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
DEEPSEEK_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'user' %}{{ 'User: ' }}"
    "{% elif message['role'] == 'assistant' %}{{ 'Assistant: ' }}{% endif %}"
    "{% for content in message['content'] %}{% if content['type'] == 'image' %}{{ '<image_placeholder>' }}"
    "{% else %}{{ content['text'] }}{% endif %}{% endfor %}{{ '\n\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
JANUS_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'user' %}{{ '<|User|>: ' }}"
    "{% elif message['role'] == 'assistant' %}{{ '<|Assistant|>: ' }}{% endif %}"
    "{% for content in message['content'] %}{% if content['type'] == 'image' %}{{ '<image_placeholder>\n' }}"
    "{% else %}{{ content['text'] }}{% endif %}{% endfor %}{{ '\n\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|Assistant|>:' }}{% endif %}"
)
CHATML_TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou look .<|im_end|>\n' }}{% endif %}"
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for content in message['content'] %}"
    "{% if content['type'] == 'image' %}{{ '<image>\n' }}{% else %}{{ content['text'] }}{% endif %}{% endfor %}"
    "{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def _ids(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """What a text configuration says about the vocabulary."""
    return {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def _save(model: PreTrainedModel, processor: Any, folder: Path) -> None:
    tokenizer = processor.tokenizer
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.bos_token_id = tokenizer.bos_token_id
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def _randomise(model: PreTrainedModel, *names: str, std: float = RANGE) -> None:
    """Parameters that start at zero or nearly so, and would leave the image without a say."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if any(part in name for part in names):
                torch.nn.init.normal_(parameter, std=std)


def build_llava(folder: Path) -> None:
    """CLIP, shortest edge and centre crop, a class token that is dropped: LLaVA-1.5's own settings."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer(["<image>"], adds_bos=True)
    image_processor = CLIPImageProcessorPil(size={"shortest_edge": SIZE_PX}, crop_size=SQUARE)
    processor = LlavaProcessor(
        image_processor,
        tokenizer,
        patch_size=PATCH_PX,
        vision_feature_select_strategy="default",
        chat_template=LLAVA_TEMPLATE,
        num_additional_image_tokens=1,
    )
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**VISION),
        text_config=LlamaConfig(**TEXT, **_ids(tokenizer)),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=CELLS,
        vision_feature_layer=-2,
        initializer_range=RANGE,
    )
    _save(LlavaForConditionalGeneration(config), processor, folder)


def build_llava_full(folder: Path) -> None:
    """SigLIP without class token, the image squashed to a square whose last pixels no patch covers."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer(["<image>"], adds_bos=True)
    size = {"height": SIZE_PX + 4, "width": SIZE_PX + 4}
    processor = LlavaProcessor(
        SiglipImageProcessorPil(size=size),
        tokenizer,
        patch_size=PATCH_PX,
        vision_feature_select_strategy="full",
        chat_template=LLAVA_TEMPLATE,
        num_additional_image_tokens=0,
    )
    config = LlavaConfig(
        vision_config=SiglipVisionConfig(**VISION | {"image_size": SIZE_PX + 4}),
        text_config=LlamaConfig(**TEXT, **_ids(tokenizer)),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=CELLS,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        initializer_range=RANGE,
    )
    _save(LlavaForConditionalGeneration(config), processor, folder)


def build_vipllava(folder: Path) -> None:
    """Features of several CLIP layers side by side."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer(["<image>"], words=["Human", "#"], adds_bos=True)
    processor = LlavaProcessor(
        CLIPImageProcessorPil(size={"shortest_edge": SIZE_PX}, crop_size=SQUARE),
        tokenizer,
        patch_size=PATCH_PX,
        vision_feature_select_strategy="default",
        chat_template=VIP_TEMPLATE,
        num_additional_image_tokens=1,
    )
    config = VipLlavaConfig(
        vision_config=CLIPVisionConfig(**VISION),
        text_config=LlamaConfig(**TEXT, **_ids(tokenizer)),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=CELLS,
        vision_feature_layers=[-2, -1],
        initializer_range=RANGE,
    )
    _save(VipLlavaForConditionalGeneration(config), processor, folder)


def build_paligemma(folder: Path) -> None:
    """Gemma that reads the whole prompt in both directions; positions count from 1; no chat template."""
    _build_paligemma(folder, GemmaConfig)


def build_paligemma2(folder: Path) -> None:
    """Gemma 2 behind the same: a local window in every other layer, soft caps on scores and logits."""
    _build_paligemma(
        folder,
        Gemma2Config,
        query_pre_attn_scalar=8,
        sliding_window=11,
        attn_logit_softcapping=3.0,
        final_logit_softcapping=4.0,
    )


def _build_paligemma(folder: Path, text: type[PreTrainedConfig], **options: Any) -> None:
    torch.manual_seed(0)
    tokenizer = build_tokenizer([], bos="<bos>", eos="<eos>", named={"image_token": "<image>"})
    processor = PaliGemmaProcessor(SiglipImageProcessorPil(size=SQUARE, image_seq_length=CELLS), tokenizer)
    config = PaliGemmaConfig(
        vision_config=SiglipVisionConfig(**VISION, projection_dim=32, vision_use_head=False),
        text_config=text(**TEXT | {"head_dim": 8, "num_key_value_heads": 1}, **_ids(processor.tokenizer), **options),
        image_token_index=processor.image_token_id,
        projection_dim=32,
        hidden_size=32,
        vocab_size=len(processor.tokenizer),
        initializer_range=RANGE,
    )
    _save(PaliGemmaForConditionalGeneration(config), processor, folder)


def build_gemma3(folder: Path) -> None:
    """Patches pooled 2 x 2, images read in both directions, a window that is shorter than the prompt."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer(
        ["<start_of_turn>", "<end_of_turn>"],
        bos="<bos>",
        eos="<eos>",
        named={"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"},
    )
    image_processor = Gemma3ImageProcessorPil(size=SQUARE, **HALF)
    processor = Gemma3Processor(image_processor, tokenizer, chat_template=GEMMA_TEMPLATE, image_seq_length=CELLS // 4)
    config = Gemma3Config(
        vision_config=SiglipVisionConfig(**VISION, vision_use_head=False),
        text_config=Gemma3TextConfig(
            **TEXT | {"num_hidden_layers": 4},
            **_ids(tokenizer),
            head_dim=8,
            query_pre_attn_scalar=8,
            sliding_window=11,
            layer_types=["sliding_attention", "full_attention"] * 2,
        ),
        mm_tokens_per_image=CELLS // 4,
        boi_token_index=tokenizer.boi_token_id,
        eoi_token_index=tokenizer.eoi_token_id,
        image_token_index=tokenizer.image_token_id,
        initializer_range=RANGE,
    )
    model = Gemma3ForConditionalGeneration(config)
    _randomise(model, "mm_input_projection_weight")
    _save(model, processor, folder)


def build_deepseek_vl(folder: Path) -> None:
    """SigLIP on the image padded to a square."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer([], named={"image_token": "<image_placeholder>"}, adds_bos=True)
    image_processor = DeepseekVLImageProcessorPil(size=SQUARE, **HALF)
    processor = DeepseekVLProcessor(image_processor, tokenizer, DEEPSEEK_TEMPLATE, num_image_tokens=CELLS)
    config = DeepseekVLConfig(
        vision_config=SiglipVisionConfig(**VISION, vision_use_head=False),
        text_config=LlamaConfig(**TEXT, **_ids(tokenizer)),
        image_token_id=tokenizer.image_token_id,
        initializer_range=RANGE,
    )
    _save(DeepseekVLForConditionalGeneration(config), processor, folder)


def build_janus(folder: Path) -> None:
    """Janus' own vision tower; the parts that make images stay, unused."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer(
        ["<|User|>", "<|Assistant|>"],
        named={
            "image_token": "<image_placeholder>",
            "boi_token": "<begin_of_image>",
            "eoi_token": "<end_of_image>",
        },
        adds_bos=True,
    )
    image_processor = JanusImageProcessorPil(size=SQUARE, **HALF)
    processor = JanusProcessor(image_processor, tokenizer, JANUS_TEMPLATE, num_image_tokens=CELLS)
    vision = {k: v for k, v in VISION.items() if k != "intermediate_size"}
    config = JanusConfig(
        vision_config=JanusVisionConfig(**vision, mlp_ratio=2.0, projection_dim=32, num_image_tokens=CELLS),
        text_config=LlamaConfig(**TEXT, **_ids(tokenizer)),
        vq_config=JanusVQVAEConfig(
            embed_dim=4,
            num_embeddings=16,
            latent_channels=8,
            base_channels=32,
            channel_multiplier=[1, 1],
            num_res_blocks=1,
            projection_dim=32,
            image_token_embed_dim=32,
        ),
        image_token_id=tokenizer.image_token_id,
        initializer_range=RANGE,
    )
    _save(JanusForConditionalGeneration(config), processor, folder)


def build_fuyu(folder: Path) -> None:
    """No vision tower: patches of the image go straight into the decoder, a newline token after each row."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer(["<0x04>"], eos="|ENDOFTEXT|", words=["|SPEAKER|", "|NEWLINE|", "▁"])
    # Like SentencePiece, whose first token of any text is a space; Fuyu's processor counts on it and drops it.
    backend = tokenizer.backend_tokenizer
    backend.normalizer = normalizers.Prepend("▁")
    backend.decoder = decoders.Sequence([decoders.Replace("▁", ""), backend.decoder])
    words = Regex(r"\|[A-Z]+\||\n|\w+|[^\w\s]")
    backend.pre_tokenizer = pre_tokenizers.Split(words, behavior="removed", invert=True)
    image_processor = FuyuImageProcessorPil(
        size={"height": 48, "width": 72}, patch_size={"height": PATCH_PX, "width": PATCH_PX}
    )
    processor = FuyuProcessor(image_processor, tokenizer)
    text = {k: v for k, v in TEXT.items() if k != "num_key_value_heads"}
    config = FuyuConfig(
        text_config=PersimmonConfig(**text, **_ids(tokenizer), tie_word_embeddings=False),
        patch_size=PATCH_PX,
        image_token_id=processor.image_token_id,
        initializer_range=RANGE,
    )
    _save(FuyuForCausalLM(config), processor, folder)


def build_fast_vlm(folder: Path) -> None:
    """A convolutional tower, 8 pixels to a feature. FastVLM's own, FastViT, is timm's, which needs torchvision."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer(["<image>", "<|im_start|>", "<|im_end|>"], bos=None, eos="<|im_end|>")
    processor = LlavaProcessor(
        CLIPImageProcessorPil(size={"shortest_edge": SIZE_PX}, crop_size=SQUARE, **HALF),
        tokenizer,
        patch_size=PATCH_PX,
        vision_feature_select_strategy="full",
        chat_template=CHATML_TEMPLATE,
        num_additional_image_tokens=0,
    )
    config = FastVlmConfig(
        vision_config=ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", hidden_size=16
        ),
        text_config=Qwen2Config(**TEXT, **_ids(tokenizer)),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=CELLS,
        initializer_range=RANGE,
    )
    _save(FastVlmForConditionalGeneration(config), processor, folder)


QUERIES = 6
QFORMER: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "cross_attention_frequency": 2,
    "encoder_hidden_size": 16,
    "initializer_range": RANGE,
}


def build_instructblip(folder: Path) -> None:
    """Query tokens that read the question too; Llama (Vicuna) behind them; no chat template."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer(["<image>"], adds_bos=True)
    qformer_tokenizer = build_tokenizer([], bos="[CLS]", eos="[SEP]", pad="[PAD]", adds_bos=True)
    processor = InstructBlipProcessor(
        BlipImageProcessorPil(size=SQUARE), tokenizer, qformer_tokenizer, num_query_tokens=QUERIES
    )
    config = InstructBlipConfig(
        vision_config=InstructBlipVisionConfig(**VISION),
        qformer_config=InstructBlipQFormerConfig(**QFORMER, vocab_size=len(qformer_tokenizer)),
        text_config=LlamaConfig(**TEXT, **_ids(processor.tokenizer)),
        num_query_tokens=QUERIES,
        image_token_index=processor.tokenizer.convert_tokens_to_ids("<image>"),
        initializer_range=RANGE,
    )
    model = InstructBlipForConditionalGeneration(config)
    _randomise(model, "query_tokens", "class_embedding", "position_embedding", std=1.0)
    _save(model, processor, folder)


def build_blip_2(folder: Path) -> None:
    """Query tokens that see the image alone; OPT behind them, which adds learnt positions to its embeddings."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer(["<image>"], bos="</s>", eos="\n", words=["Question", "Answer"], adds_bos=True)
    processor = Blip2Processor(BlipImageProcessorPil(size=SQUARE), tokenizer, num_query_tokens=QUERIES)
    text = {"ffn_dim": 64, "word_embed_proj_dim": 32, "init_std": RANGE}
    text |= {
        k: v for k, v in TEXT.items() if k not in ("intermediate_size", "num_key_value_heads", "initializer_range")
    }
    _save_blip_2(OPTConfig(**text, **_ids(processor.tokenizer)), processor, folder)


def build_blip_2_t5(folder: Path) -> None:
    """The kind of BLIP-2 that is refused."""
    tokenizer = build_tokenizer(["<image>"], bos=None)
    processor = Blip2Processor(BlipImageProcessorPil(size=SQUARE), tokenizer, num_query_tokens=QUERIES)
    text = T5Config(
        vocab_size=len(tokenizer), d_model=32, d_ff=64, d_kv=8, num_layers=1, num_heads=2, decoder_start_token_id=0
    )
    _save_blip_2(text, processor, folder)


def _save_blip_2(text: PreTrainedConfig, processor: Blip2Processor, folder: Path) -> None:
    config = Blip2Config(
        vision_config=Blip2VisionConfig(**VISION),
        qformer_config=Blip2QFormerConfig(**QFORMER),
        text_config=text,
        num_query_tokens=QUERIES,
        image_token_index=processor.tokenizer.convert_tokens_to_ids("<image>"),
        initializer_range=RANGE,
    )
    model = Blip2ForConditionalGeneration(config)
    _randomise(model, "query_tokens", "class_embedding", "position_embedding", std=1.0)
    _save(model, processor, folder)


FAMILIES: dict[str, Callable[[Path], None]] = {
    "llava": build_llava,
    "llava-siglip": build_llava_full,
    "vipllava": build_vipllava,
    "paligemma": build_paligemma,
    "paligemma-2": build_paligemma2,
    "gemma3": build_gemma3,
    "deepseek_vl": build_deepseek_vl,
    "janus": build_janus,
    "fast_vlm": build_fast_vlm,
    "fuyu": build_fuyu,
    "instructblip": build_instructblip,
    "blip-2": build_blip_2,
}
