//! Every node, one file for each tight family. To add one: write it, and add its line below.

mod hook;
mod low_rank;
mod previews;
mod resize;
mod tiles;
mod values;

use graph::Field as _;

pub use clip_vision::{ClipVision, ClipVisionOutput};
pub use controlnet::ControlNet;
pub use gligen::Gligen;
pub use previews::{PreviewSwitch, Previews};
pub use sampling::SamplerNoise;
pub use style_model::StyleModel;
pub use upscale_model::UpscaleModel;
pub use values::{
    Clip, Conditioning, Dumped, Image, Latent, Mask, Model, Told, Vae, dump, dump_slot,
};
pub use values::{Guider, Noise, Sampler, Sigmas};

/// What the program decides for all nodes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Whose random numbers samplers that add noise use.
    pub sampler_noise: SamplerNoise,
    /// How samplers show the picture as it comes.
    pub previews: Previews,
}

/// What a file says of how it was made, given the graph that makes it: stands in it under [`Stamp::KEY`],
/// beside `prompt` and `workflow`. Programs need not provide it.
pub struct Stamp(pub Box<dyn Fn(&graph::Json) -> graph::Json + Send + Sync>);

impl Stamp {
    pub const KEY: &str = "weft";
}

/// Socket types that carry networks.
pub const NETWORKS: &[&str] = &[
    Model::TYPE,
    Clip::TYPE,
    Vae::TYPE,
    ClipVision::TYPE,
    StyleModel::TYPE,
    ControlNet::TYPE,
    Gligen::TYPE,
    UpscaleModel::TYPE,
    Guider::TYPE,
];

macro_rules! nodes { ($($module:ident: $($node:ident),*;)*) => {
    $(mod $module; pub use $module::{$($node),*};)*

    /// All node types, in menu order.
    pub fn all() -> Vec<graph::NodeType> {
        vec![$($(graph::NodeType::of::<$node>()),*),*]
    }
}}

nodes! {
    loaders: CheckpointLoaderSimple, CheckpointLoader, DiffusersLoader, UNETLoader, CLIPLoader, DualCLIPLoader,
        TripleCLIPLoader, VAELoader;
    lora: LoraLoader, LoraLoaderModelOnly;
    merge: ModelMergeSimple, ModelMergeAdd, ModelMergeSubtract, ModelMergeBlocks, CLIPMergeSimple,
        CLIPMergeAdd, CLIPMergeSubtract;
    merge_blocks: ModelMergeSD1, ModelMergeSD2, ModelMergeSDXL;
    save_model: CheckpointSave, ModelSave, CLIPSave, VAESave;
    save_lora: LoraSave;
    controlnet: ControlNetLoader, DiffControlNetLoader, SetUnionControlNetType, ControlNetApply,
        ControlNetApplyAdvanced, ControlNetApplySD3, ControlNetInpaintingAliMamaApply;
    clip_vision: CLIPVisionLoader, CLIPVisionEncode;
    unclip: unCLIPCheckpointLoader, unCLIPConditioning;
    style_model: StyleModelLoader, StyleModelApply;
    gligen: GLIGENLoader, GLIGENTextBoxApply;
    hypernetwork: HypernetworkLoader;
    upscale_model: UpscaleModelLoader, ImageUpscaleWithModel;
    text: CLIPTextEncode, CLIPTextEncodeControlnet, CLIPSetLastLayer;
    text_families: CLIPTextEncodeSDXL, CLIPTextEncodeSDXLRefiner, CLIPTextEncodeSD3, CLIPTextEncodeFlux,
        CLIPTextEncodePixArtAlpha, FluxGuidance, FluxDisableGuidance, T5TokenizerOptions;
    conditioning: ConditioningCombine, ConditioningConcat, ConditioningAverage, ConditioningSetArea,
        ConditioningSetAreaPercentage, ConditioningSetAreaStrength, ConditioningSetMask, ConditioningSetTimestepRange, ConditioningZeroOut;
    conditioning_properties: ConditioningTimestepsRange, ConditioningSetProperties,
        ConditioningSetPropertiesAndCombine, PairConditioningSetProperties,
        PairConditioningSetPropertiesAndCombine, ConditioningSetDefaultCombine,
        PairConditioningSetDefaultCombine, PairConditioningCombine;
    hooks: CreateHookLora, CreateHookLoraModelOnly, CreateHookModelAsLora, CreateHookModelAsLoraModelOnly,
        SetHookKeyframes, CreateHookKeyframe, CreateHookKeyframesInterpolated,
        CreateHookKeyframesFromFloats, CombineHooks2, CombineHooks4,
        CombineHooks8, SetClipHooks;
    ksampler: KSampler, KSamplerAdvanced;
    sampler_custom: SamplerCustom, SamplerCustomAdvanced;
    guiders: CFGGuider, DualCFGGuider, BasicGuider, PerpNegGuider;
    noise: RandomNoise, DisableNoise, AddNoise;
    samplers: KSamplerSelect, SamplerEulerAncestral, SamplerEulerAncestralCFGPP, SamplerEulerCFGpp, SamplerLMS,
        SamplerDPMPP_3M_SDE, SamplerDPMPP_2M_SDE, SamplerDPMPP_SDE, SamplerDPMPP_2S_Ancestral,
        SamplerDPMAdaptative, SamplerER_SDE, SamplerSASolver, SamplerLCMUpscale;
    schedulers: BasicScheduler, KarrasScheduler, ExponentialScheduler, PolyexponentialScheduler, LaplaceScheduler,
        VPScheduler, BetaSamplingScheduler, SDTurboScheduler, AlignYourStepsScheduler, OptimalStepsScheduler;
    sigmas: SplitSigmas, SplitSigmasDenoise, FlipSigmas, SetFirstSigma, ExtendIntermediateSigmas,
        SamplingPercentToSigma, ManualSigmas;
    model_sampling: ModelSamplingDiscrete, ModelSamplingContinuousEDM, ModelSamplingContinuousV, ModelSamplingSD3,
        ModelSamplingAuraFlow, ModelSamplingFlux;
    model_options: ModelComputeDtype, TorchCompileModel;
    patches: FreeU, FreeU_V2, HyperTile, TomePatchModel, PatchModelAddDownscale, PerturbedAttentionGuidance, SelfAttentionGuidance,
        DifferentialDiffusion, UNetSelfAttentionMultiply, UNetCrossAttentionMultiply,
        UNetTemporalAttentionMultiply, CLIPAttentionMultiply;
    guidance: RescaleCFG, CFGZeroStar, CFGNorm, TCFG, APG, Mahiro, EpsilonScaling, PerpNeg, FreSca, EasyCache,
        LazyCache, VideoLinearCFGGuidance, VideoTriangleCFGGuidance;
    vae: VAEDecode, VAEEncode, VAEEncodeForInpaint, InpaintModelConditioning,
        InstructPixToPixConditioning, SetLatentNoiseMask, LatentUpscale, LatentUpscaleBy;
    empty_latent: EmptyLatentImage, EmptySD3LatentImage, EmptyHunyuanImageLatent, StableCascade_EmptyLatentImage;
    upscale_conditioning: SD_4XUpscale_Conditioning;
    vae_tiled: VAEDecodeTiled, VAEEncodeTiled;
    latent: LatentFromBatch, RepeatLatentBatch, LatentComposite, LatentCompositeMasked;
    latent_math: LatentAdd, LatentSubtract, LatentMultiply, LatentBlend, LatentInterpolate, LatentBatch,
        LatentConcat, LatentCut, LatentBatchSeedBehavior;
    latent_operation: LatentApplyOperation, LatentApplyOperationCFG, LatentOperationTonemapReinhard,
        LatentOperationSharpen;
    transform: ImageRotate, ImageFlip, ImageCrop, LatentRotate, LatentFlip, LatentCrop, CropMask;
    latent_file: SaveLatent, LoadLatent;
    load_image: LoadImage, LoadImageOutput, LoadImageMask;
    save_image: SaveImage, PreviewImage;
    save_file: SaveAnimatedPNG, SaveAnimatedWEBP;
    image: ImageScale, ImageScaleBy, ImageInvert, ImageBatch, MaskToImage, ImageToMask;
    image_fit: ImageScaleToTotalPixels, ImageScaleToMaxDimension, ResizeAndPadImage;
    image_batch: EmptyImage, RepeatImageBatch, ImageFromBatch, GetImageSize, ImageAddNoise;
    image_channels: ImageRGBToYUV, ImageYUVToRGB;
    image_stitch: ImageStitch;
    image_blend: ImageBlend;
    image_filter: ImageBlur, ImageSharpen, Morphology;
    image_quantize: ImageQuantize;
    canny: Canny;
    composite: ImageCompositeMasked;
    alpha: SplitImageWithAlpha, JoinImageWithAlpha, PorterDuffImageComposite;
    image_pad_for_outpaint: ImagePadForOutpaint;
    mask: InvertMask, MaskPreview, SolidMask, GrowMask, FeatherMask;
    rebatch: RebatchImages, RebatchLatents;
    mask_math: MaskComposite, ThresholdMask, ImageColorToMask;
    primitives: PrimitiveString, PrimitiveStringMultiline, PrimitiveInt, PrimitiveFloat, PrimitiveBoolean,
        PreviewAny;
    strings: StringConcatenate, StringSubstring, StringLength, CaseConverter, StringTrim, StringReplace,
        StringContains, StringCompare;
    regex: RegexMatch, RegexExtract, RegexReplace;
    logic: ComfySwitchNode;
}
