//! Every node, one file for each tight family. To add one: write it, and add its line below.

mod resize;
mod tiles;
mod values;

use graph::Field as _;

pub use controlnet::ControlNet;
pub use sampling::SamplerNoise;
pub use upscale_model::UpscaleModel;
pub use values::{Clip, Conditioning, Dumped, Image, Latent, Mask, Model, Told, Vae, dump};
pub use values::{Guider, Noise, Sampler, Sigmas};

/// What the program decides for all nodes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Whose random numbers samplers that add noise use.
    pub sampler_noise: SamplerNoise,
}

/// Socket types that carry networks.
pub const NETWORKS: &[&str] =
    &[Model::TYPE, Clip::TYPE, Vae::TYPE, ControlNet::TYPE, UpscaleModel::TYPE, Guider::TYPE];

macro_rules! nodes { ($($module:ident: $($node:ident),*;)*) => {
    $(mod $module; pub use $module::{$($node),*};)*

    /// All node types, in menu order.
    pub fn all() -> Vec<graph::NodeType> {
        vec![$($(graph::NodeType::of::<$node>()),*),*]
    }
}}

nodes! {
    loaders: CheckpointLoaderSimple, UNETLoader, CLIPLoader, VAELoader;
    lora: LoraLoader, LoraLoaderModelOnly;
    merge: ModelMergeSimple, ModelMergeAdd, ModelMergeSubtract, ModelMergeBlocks, ModelMergeSD1, CLIPMergeSimple,
        CLIPMergeAdd, CLIPMergeSubtract;
    save_model: CheckpointSave, ModelSave, CLIPSave, VAESave;
    controlnet: ControlNetLoader, DiffControlNetLoader, SetUnionControlNetType, ControlNetApply,
        ControlNetApplyAdvanced;
    upscale_model: UpscaleModelLoader, ImageUpscaleWithModel;
    text: CLIPTextEncode, CLIPSetLastLayer;
    conditioning: ConditioningCombine, ConditioningConcat, ConditioningAverage, ConditioningSetArea,
        ConditioningSetMask, ConditioningSetTimestepRange, ConditioningZeroOut;
    ksampler: KSampler, KSamplerAdvanced;
    sampler_custom: SamplerCustom, SamplerCustomAdvanced;
    guiders: CFGGuider, DualCFGGuider, BasicGuider, PerpNegGuider;
    noise: RandomNoise, DisableNoise, AddNoise;
    samplers: KSamplerSelect, SamplerEulerAncestral, SamplerEulerAncestralCFGPP, SamplerEulerCFGpp, SamplerLMS,
        SamplerDPMPP_3M_SDE, SamplerDPMPP_2M_SDE, SamplerDPMPP_SDE, SamplerDPMPP_2S_Ancestral,
        SamplerDPMAdaptative, SamplerER_SDE, SamplerSASolver;
    schedulers: BasicScheduler, KarrasScheduler, ExponentialScheduler, PolyexponentialScheduler, LaplaceScheduler,
        VPScheduler, BetaSamplingScheduler, SDTurboScheduler, AlignYourStepsScheduler, OptimalStepsScheduler;
    sigmas: SplitSigmas, SplitSigmasDenoise, FlipSigmas, SetFirstSigma, ExtendIntermediateSigmas,
        SamplingPercentToSigma, ManualSigmas;
    model_sampling: ModelSamplingDiscrete, ModelSamplingContinuousEDM, ModelSamplingContinuousV;
    patches: FreeU, FreeU_V2, HyperTile, PatchModelAddDownscale, PerturbedAttentionGuidance, SelfAttentionGuidance,
        DifferentialDiffusion, UNetSelfAttentionMultiply, UNetCrossAttentionMultiply,
        UNetTemporalAttentionMultiply, CLIPAttentionMultiply;
    guidance: RescaleCFG, CFGZeroStar, CFGNorm, TCFG, APG, Mahiro, EpsilonScaling, PerpNeg;
    vae: VAEDecode, VAEEncode, VAEDecodeTiled, VAEEncodeTiled, VAEEncodeForInpaint, InpaintModelConditioning,
        InstructPixToPixConditioning, SetLatentNoiseMask, EmptyLatentImage, LatentUpscale, LatentUpscaleBy;
    latent: LatentFromBatch, RepeatLatentBatch, LatentComposite;
    load_image: LoadImage, LoadImageMask;
    save_image: SaveImage, PreviewImage;
    image: ImageScale, ImageScaleBy, ImageInvert, ImageBatch, ImageCompositeMasked, MaskToImage, ImageToMask;
    image_pad_for_outpaint: ImagePadForOutpaint;
    mask: InvertMask, SolidMask, GrowMask, FeatherMask;
}
