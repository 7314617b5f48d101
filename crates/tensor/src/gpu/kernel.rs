//! Kernels: WGSL files put together, with constants.

use super::{GpuDevice, PIPELINES, adapter::PARAMETERS, lock};
use std::{borrow::Cow, fmt::Write as _, sync::atomic::Ordering};

/// Threads of a workgroup, where the shader leaves that open.
pub const THREADS: usize = 64;

/// A shader: the file whose entry point has its name, and the files whose functions it uses.
#[derive(Clone, Debug)]
pub struct Kernel {
    pub name: &'static str,
    pub parts: Cow<'static, [&'static str]>,
}

/// `kernel!("softmax")`: the file `shaders/softmax.wgsl`; further names are further parts.
macro_rules! kernel {
    ($name:literal $(, $part:literal)*) => {
        $crate::gpu::Kernel {
            name: $name,
            parts: std::borrow::Cow::Borrowed(&[
                $crate::gpu::shader!($name), $($crate::gpu::shader!($part)),*
            ]),
        }
    };
}
pub(crate) use kernel;

/// The text of a file of `shaders/`.
macro_rules! shader {
    ($name:literal) => {
        include_str!(concat!("../../../../shaders/", $name, ".wgsl"))
    };
}
pub(crate) use shader;

impl GpuDevice {
    /// The pipeline of a kernel with these constants, made once. Its bindings are buffers: `reads` to
    /// read, then one to write.
    pub(super) fn pipeline(
        &self,
        kernel: &Kernel,
        constants: &[(&'static str, usize)],
        reads: usize,
    ) -> wgpu::ComputePipeline {
        let mut source = kernel.parts.concat();
        let says = constants.iter().any(|(name, _)| *name == "THREADS");
        let threads = (!says).then_some(("THREADS", THREADS));
        // Last, so that lines in messages are lines of the files.
        for (name, value) in threads.iter().chain(constants) {
            let _ = writeln!(source, "const {name} = {value}u;");
        }
        let mut pipelines = lock(&self.pipelines);
        if let Some(pipeline) = pipelines.get(&source) {
            return pipeline.clone();
        }
        let pipeline = self.create_pipeline(kernel.name, &source, reads);
        pipelines.insert(source, pipeline.clone());
        self.unsaved.store(true, Ordering::Relaxed);
        pipeline
    }

    pub(super) fn create_pipeline(
        &self,
        name: &str,
        source: &str,
        reads: usize,
    ) -> wgpu::ComputePipeline {
        self.count(PIPELINES);
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(name),
            source: wgpu::ShaderSource::Wgsl(source.into()),
        };
        let checks = if self.checked {
            wgpu::ShaderRuntimeChecks::checked()
        } else {
            wgpu::ShaderRuntimeChecks::unchecked()
        };
        // SAFETY: our own shaders, whose indices stay inside their bindings and whose loops end; the
        // tests run them with all checks on too.
        let module = unsafe { self.device.create_shader_module_trusted(descriptor, checks) };
        let entries: Vec<_> = (0..=reads).map(|i| storage(i as u32, i < reads)).collect();
        let bindings = self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(name),
            entries: &entries,
        });
        let layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(name),
            bind_group_layouts: &[Some(&bindings)],
            immediate_size: PARAMETERS,
        });
        self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(name),
            layout: Some(&layout),
            module: &module,
            entry_point: Some(name),
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: self.checked,
                ..Default::default()
            },
            cache: self.compiled.as_ref(),
        })
    }
}

fn storage(binding: u32, read_only: bool) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty: wgpu::BufferBindingType::Storage { read_only },
            has_dynamic_offset: false,
            min_binding_size: None,
        },
        count: None,
    }
}
