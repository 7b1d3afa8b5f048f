"""Tiny random checkpoints of the real pipeline classes, made from a seed and saved as real ones are."""

PRINTABLE = "abcdefghijklmnopqrstuvwxyz0123456789.,-{}"


def text_model(kind="t5"):
    """A T5 tokenizer that knows single letters, and an encoder for it."""
    import transformers

    words = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -1.0), *((letter, -2.0) for letter in PRINTABLE)]
    tokenizer = transformers.T5Tokenizer(vocab=words, extra_ids=0)
    config, encoder = {
        "t5": (transformers.T5Config, transformers.T5EncoderModel),
        "umt5": (transformers.UMT5Config, transformers.UMT5EncoderModel),
    }[kind]
    shape = {"vocab_size": 64, "d_model": 32, "d_kv": 8, "d_ff": 37, "num_layers": 2, "num_heads": 4}
    return {"tokenizer": tokenizer, "text_encoder": encoder(config(**shape)).eval()}


def byte_words(*special, ending=""):
    """A vocabulary of single bytes."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    letters = list(bytes_to_unicode().values())
    words = [*special, *letters, *(letter + ending for letter in letters if ending)]
    return {word: i for i, word in enumerate(words)}


def clip_vision(kind, size):
    """A CLIP picture encoder and its preprocessor."""
    import transformers

    config = transformers.CLIPVisionConfig(
        hidden_size=32, projection_dim=32, num_hidden_layers=2, num_attention_heads=4, image_size=size,
        intermediate_size=37, patch_size=16,
    )  # fmt: skip
    return getattr(transformers, kind)(config).eval(), transformers.CLIPImageProcessor(crop_size=size, size=size)


def wan_vae():
    """The autoencoder of Wan."""
    from diffusers import AutoencoderKLWan

    return AutoencoderKLWan(
        base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
    )


def flow(**options):
    """The scheduler of nearly all of them."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(**options)


WAN = {
    "patch_size": (1, 2, 2), "num_attention_heads": 2, "attention_head_dim": 12, "out_channels": 16, "text_dim": 32,
    "freq_dim": 256, "ffn_dim": 32, "cross_attn_norm": True, "qk_norm": "rms_norm_across_heads", "rope_max_seq_len": 32,
}  # fmt: skip


def svd():
    from diffusers import (
        AutoencoderKLTemporalDecoder,
        EulerDiscreteScheduler,
        StableVideoDiffusionPipeline,
        UNetSpatioTemporalConditionModel,
    )

    unet = UNetSpatioTemporalConditionModel(
        block_out_channels=(32, 64), layers_per_block=1, sample_size=32, in_channels=8, out_channels=4, num_frames=5,
        down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"), cross_attention_dim=32,
        num_attention_heads=8, projection_class_embeddings_input_dim=96, addition_time_embed_dim=32,
    )  # fmt: skip
    vae = AutoencoderKLTemporalDecoder(
        block_out_channels=[32] * 4, down_block_types=["DownEncoderBlock2D"] * 4, latent_channels=4
    )
    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type="v_prediction",
        sigma_max=700.0, sigma_min=0.002, steps_offset=1, timestep_spacing="leading", timestep_type="continuous",
        use_karras_sigmas=True,
    )  # fmt: skip
    # The pipeline always shows CLIP 224 pixels.
    encoder, preprocessor = clip_vision("CLIPVisionModelWithProjection", 224)
    return StableVideoDiffusionPipeline(
        vae=vae, image_encoder=encoder, unet=unet, scheduler=scheduler, feature_extractor=preprocessor
    )


def wan(**options):
    from diffusers import WanImageToVideoPipeline, WanTransformer3DModel

    encoder, preprocessor = clip_vision("CLIPVisionModel", 32)
    return WanImageToVideoPipeline(
        **text_model("umt5"), vae=wan_vae(), scheduler=flow(shift=7.0), image_encoder=encoder,
        image_processor=preprocessor,
        transformer=WanTransformer3DModel(**WAN, in_channels=36, num_layers=2, image_dim=32, **options),
    )  # fmt: skip


def wan_first_last():
    # CLIP sees 2 x 2 patches and one token more, of each of the two pictures.
    return wan(pos_embed_seq_len=2 * (2 * 2 + 1))


def wan_vace():
    from diffusers import WanVACEPipeline, WanVACETransformer3DModel

    transformer = WanVACETransformer3DModel(
        **WAN, in_channels=16, num_layers=3, vace_layers=[0, 2], vace_in_channels=96
    )
    return WanVACEPipeline(**text_model("umt5"), vae=wan_vae(), scheduler=flow(shift=7.0), transformer=transformer)


def cogvideox():
    from diffusers import (
        AutoencoderKLCogVideoX,
        CogVideoXDDIMScheduler,
        CogVideoXImageToVideoPipeline,
        CogVideoXTransformer3DModel,
    )

    transformer = CogVideoXTransformer3DModel(
        num_attention_heads=2, attention_head_dim=16, in_channels=8, out_channels=4, time_embed_dim=2,
        text_embed_dim=32, num_layers=1, sample_width=12, sample_height=8, sample_frames=9, patch_size=2,
        use_rotary_positional_embeddings=True, use_learned_positional_embeddings=True,
    )  # fmt: skip
    vae = AutoencoderKLCogVideoX(
        down_block_types=("CogVideoXDownBlock3D",) * 4, up_block_types=("CogVideoXUpBlock3D",) * 4,
        block_out_channels=(8, 8, 8, 8), latent_channels=4, layers_per_block=1, norm_num_groups=2,
    )  # fmt: skip
    return CogVideoXImageToVideoPipeline(
        **text_model(), vae=vae, transformer=transformer, scheduler=CogVideoXDDIMScheduler()
    )


def ltx():
    from diffusers import AutoencoderKLLTXVideo, LTXConditionPipeline, LTXVideoTransformer3DModel

    transformer = LTXVideoTransformer3DModel(
        in_channels=8, out_channels=8, num_attention_heads=4, attention_head_dim=8, cross_attention_dim=32,
        num_layers=1, caption_channels=32,
    )  # fmt: skip
    vae = AutoencoderKLLTXVideo(
        latent_channels=8, block_out_channels=(8, 8, 8, 8), decoder_block_out_channels=(8, 8, 8, 8),
        layers_per_block=(1,) * 5, decoder_layers_per_block=(1,) * 5,
        spatio_temporal_scaling=(True, True, True, False), decoder_spatio_temporal_scaling=(True, True, True, False),
        decoder_inject_noise=(False,) * 5, upsample_residual=(False,) * 4, upsample_factor=(1,) * 4,
        timestep_conditioning=False,
    )  # fmt: skip
    return LTXConditionPipeline(**text_model(), scheduler=flow(), vae=vae, transformer=transformer)


def hunyuan():
    import transformers
    from diffusers import (
        AutoencoderKLHunyuanVideo,
        HunyuanVideoFramepackPipeline,
        HunyuanVideoFramepackTransformer3DModel,
    )

    transformer = HunyuanVideoFramepackTransformer3DModel(
        in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=10, num_layers=1,
        num_single_layers=1, num_refiner_layers=1, text_embed_dim=16, pooled_projection_dim=8, rope_axes_dim=(2, 4, 4),
        image_condition_type=None, has_image_proj=True, image_proj_dim=32, has_clean_x_embedder=True,
    )  # fmt: skip
    vae = AutoencoderKLHunyuanVideo(
        latent_channels=4, down_block_types=("HunyuanVideoDownBlock3D",) * 4,
        up_block_types=("HunyuanVideoUpBlock3D",) * 4, block_out_channels=(8, 8, 8, 8), layers_per_block=1,
        norm_num_groups=4,
    )  # fmt: skip
    shape = {"num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 37, "vocab_size": 1000}
    ends = {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
    llama = transformers.LlamaModel(transformers.LlamaConfig(hidden_size=16, **shape, **ends)).eval()
    clip = transformers.CLIPTextModel(transformers.CLIPTextConfig(hidden_size=8, **shape, **ends)).eval()
    words = byte_words("<s>", "<pad>", "</s>", "<unk>", "▁")
    clip_words = byte_words("<|startoftext|>", "<|endoftext|>", ending="</w>")
    siglip = transformers.SiglipVisionConfig(
        hidden_size=32, intermediate_size=37, num_hidden_layers=2, num_attention_heads=4, image_size=30, patch_size=15
    )
    return HunyuanVideoFramepackPipeline(
        text_encoder=llama, tokenizer=transformers.LlamaTokenizer(vocab=words, merges=[], pad_token="<pad>"),
        text_encoder_2=clip, tokenizer_2=transformers.CLIPTokenizer(vocab=clip_words, merges=[], model_max_length=77),
        image_encoder=transformers.SiglipVisionModel(siglip).eval(),
        feature_extractor=transformers.SiglipImageProcessor(size={"height": 30, "width": 30}),
        transformer=transformer, vae=vae, scheduler=flow(shift=7.0),
    )  # fmt: skip


def sana_wm():
    import torch
    import transformers
    from diffusers import AutoencoderKLLTX2Video, SanaWMPipeline, SanaWMTransformer3DModel

    transformer = SanaWMTransformer3DModel(
        in_channels=8, num_layers=2, hidden_size=32, num_attention_heads=2, softmax_every_n=2, linear_head_dim=16,
        caption_channels=16, mlp_ratio=2.0,
    )  # fmt: skip
    # A new model ignores its cameras, because the layers that read them start at zero.
    for name, values in transformer.named_parameters():
        if values.ndim > 1 and not values.any():
            torch.nn.init.normal_(transformer.get_parameter(name), std=0.5)
    vae = AutoencoderKLLTX2Video(
        latent_channels=8, block_out_channels=(8, 8, 8, 8), decoder_block_out_channels=(8, 8, 8),
        layers_per_block=(1,) * 5, decoder_layers_per_block=(1,) * 4, spatial_compression_ratio=32,
        temporal_compression_ratio=8, upsample_residual=(False,) * 3, upsample_factor=(1,) * 3,
    )  # fmt: skip
    config = transformers.Gemma2Config(
        vocab_size=512, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8, pad_token_id=0, eos_token_id=1, bos_token_id=2,
    )  # fmt: skip
    words = byte_words("<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁")
    return SanaWMPipeline(
        tokenizer=transformers.GemmaTokenizer(vocab=words, merges=[]), vae=vae, transformer=transformer,
        text_encoder=transformers.Gemma2ForCausalLM(config).eval(), scheduler=flow(),
    )  # fmt: skip


MAKERS = {
    "svd": svd, "wan": wan, "wan-first-last": wan_first_last, "wan-vace": wan_vace,
    "cogvideox": cogvideox, "ltx": ltx, "hunyuan": hunyuan, "sana-wm": sana_wm,
}  # fmt: skip
