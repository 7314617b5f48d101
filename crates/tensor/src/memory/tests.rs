use super::*;
use crate::{Conv, Device, GpuOptions, Network, Program, Tape, Weights, testing};

#[test]
fn parts_of_others_go_first_and_of_its_own_the_one_needed_last() {
    let memory = Memory::new("--ram-budget", 100);
    let lease = |bytes: u64| memory.lease("it", Kind::Weights, bytes);
    let part = |network: u64| {
        let held = Held::new(&memory, network);
        held.put(lease(20).unwrap());
        held
    };
    let all = [1, 2, 1, 2, 2].map(part);
    memory.runs(2);
    let mut kept = Vec::new();
    for gone in [vec![0], vec![0, 2], vec![0, 2, 4], vec![0, 2, 3, 4], vec![0, 1, 2, 3, 4]] {
        kept.push(lease(20).unwrap());
        let missing: Vec<usize> = (0..5).filter(|i| !all[*i].is_here()).collect();
        assert_eq!(missing, gone);
    }
    let error = lease(1).err().unwrap();
    let error = error.downcast_ref::<OutOfMemory>().unwrap();
    assert_eq!((error.wanted, error.given), (101, 100));
    assert_eq!(error.by, "--ram-budget");
    drop(kept);
    assert_eq!((memory.all(), memory.most()), (0, 100));
}

#[test]
fn what_is_in_use_stays() {
    let memory = Memory::new("--ram-budget", 10);
    let held = Held::new(&memory, 1);
    held.put(memory.lease("it", Kind::Values, 10).unwrap());
    let used = held.take().unwrap();
    assert!(memory.lease("more", Kind::Values, 1).is_err());
    held.put(used);
    assert!(memory.lease("more", Kind::Values, 1).is_ok());
    assert!(held.take().is_none());
}

/// Linear layers of 64 channels one after another, from `first` on.
fn layers(weights: &Weights, first: usize, count: usize) -> Program {
    let tape = Tape::named("layers");
    let mut x = tape.input("x", &[1, 30, 64]);
    for i in first..first + count {
        x = x.linear(&weights.get(&i.to_string()).unwrap(), None);
    }
    tape.finish(&[&x])
}

const LAYERS: usize = 24;

fn file() -> Weights {
    let names: Vec<String> = (0..LAYERS).map(|i| i.to_string()).collect();
    let shape: &[usize] = &[64, 64];
    testing::weights(&names.iter().map(|name| (name.as_str(), shape)).collect::<Vec<_>>())
}

/// Bytes of values and of weights.
fn bytes(device: &Device, program: &Program) -> [u64; 2] {
    let need = device.need(program).unwrap();
    [need.values, need.all_weights().values().sum()]
}

/// Makes each kind of device, without a budget and with one.
fn kinds() -> Vec<fn(u64) -> Option<Device>> {
    let gpu = |budget| testing::gpu(GpuOptions { budget, ..GpuOptions::default() });
    vec![|budget| Some(Device::cpu_within(budget)), gpu]
}

#[test]
fn a_network_larger_than_its_budget_gives_the_same_numbers() {
    let weights = file();
    let x = testing::numbers(30 * 64, 4);
    for kind in kinds() {
        let Some(free) = kind(u64::MAX) else { continue };
        let expected = free.compile(layers(&weights, 0, LAYERS)).unwrap().run(&[&x]).unwrap();
        let [values, all] = bytes(&free, &layers(&weights, 0, LAYERS));
        assert_eq!(free.memory().most(), values + all, "{}", free.name());
        for budget in [values + all / 2, values + all / LAYERS as u64] {
            let tight = kind(budget).unwrap();
            let mut network = tight.compile(layers(&weights, 0, LAYERS)).unwrap();
            for _ in 0..3 {
                assert_eq!(network.run(&[&x]).unwrap(), expected, "{}", tight.name());
            }
            assert!(tight.memory().most() <= budget, "{}", tight.name());
        }
    }
}

#[test]
fn a_layer_larger_than_the_budget_is_an_error_before_anything_is_loaded() {
    let weights = file();
    for kind in kinds() {
        let Some(free) = kind(u64::MAX) else { continue };
        let [values, all] = bytes(&free, &layers(&weights, 0, LAYERS));
        let least = values + all / LAYERS as u64;
        let tight = kind(least - 1).unwrap();
        let error = tight.compile(layers(&weights, 0, LAYERS)).err().unwrap();
        let OutOfMemory { what, wanted, given, by } = error.downcast_ref().unwrap();
        assert_eq!((what.as_str(), *wanted, *given), ("layers", least, least - 1));
        assert!(by.ends_with("-budget"), "{by}");
        assert_eq!(tight.memory().most(), 0);
        let told = error.to_string();
        assert!(
            told.contains(&format!("{least} bytes")) && told.contains("larger budget"),
            "{told}"
        );
    }
}

#[test]
fn networks_that_do_not_fit_together_take_turns() {
    let weights = file();
    let x = testing::numbers(30 * 64, 4);
    let half = LAYERS / 2;
    for kind in kinds() {
        let Some(free) = kind(u64::MAX) else { continue };
        let run = |network: &mut Network| network.run(&[&x]).unwrap();
        let programs = || [layers(&weights, 0, half), layers(&weights, half, half)];
        let expected = programs().map(|program| run(&mut free.compile(program).unwrap()));
        let [values, all] = bytes(&free, &layers(&weights, 0, half));
        let tight = kind(values + all + values / 2).unwrap();
        let mut networks = programs().map(|program| tight.compile(program).unwrap());
        for _ in 0..2 {
            let got = networks.each_mut().map(run);
            assert_eq!(got, expected, "{}", tight.name());
        }
        assert!(tight.memory().most() <= values + all + values / 2);
        drop(networks);
        assert_eq!(tight.memory().all(), 0, "{}", tight.name());
    }
}

#[test]
fn a_gpu_that_is_full_without_a_budget_does_with_what_it_has() {
    let weights = file();
    let x = testing::numbers(30 * 64, 4);
    let Some(free) = testing::gpu(GpuOptions::default()) else { return };
    let program = || layers(&weights, 0, LAYERS);
    let expected = free.compile(program()).unwrap().run(&[&x]).unwrap();
    let [values, all] = bytes(&free, &program());
    let open = |room| testing::gpu(GpuOptions { room, ..GpuOptions::default() }).unwrap();
    let small = open(values + all / 3);
    let mut network = small.compile(program()).unwrap();
    for _ in 0..2 {
        assert_eq!(network.run(&[&x]).unwrap(), expected);
    }
    assert!(small.memory().budget() <= values + all / 3);
    let error = open(values - 1).compile(program()).err().unwrap();
    let told = error.to_string();
    assert!(error.is::<OutOfMemory>() && told.contains("--device cpu"), "{told}");
}

/// One operation of every form of weights that the CPU has.
#[test]
fn forms_of_weights_take_the_bytes_that_are_counted() {
    let weights = testing::weights(&[
        ("matrix", &[40, 64]),
        ("kernel", &[48, 32, 3, 3]),
        ("odd", &[5, 3, 3, 3]),
        ("vector", &[4096]),
    ]);
    let halves = weights.rounded_to_f16();
    let conv = |side: usize, weights: &Weights, key: &str| {
        let weight = weights.get(key).unwrap();
        let tape = Tape::new();
        let y = tape.input("x", &[1, side, side, weight.shape()[1]]).conv2d(
            &weight,
            None,
            Conv::same(3),
        );
        tape.finish(&[&y])
    };
    let linear = |weights: &Weights| {
        let tape = Tape::new();
        let y = tape.input("x", &[1, 64]).linear(&weights.get("matrix").unwrap(), None);
        tape.finish(&[&y])
    };
    let norm = || {
        let tape = Tape::new();
        let vector = weights.get("vector").unwrap();
        let y = tape.input("x", &[1, 4096]).layer_norm(&vector, &vector, 1e-5);
        tape.finish(&[&y])
    };
    let programs = [
        linear(&weights),
        linear(&halves),
        conv(48, &weights, "kernel"),
        conv(12, &weights, "kernel"),
        conv(4, &weights, "kernel"),
        conv(4, &halves, "kernel"),
        conv(4, &weights, "odd"),
        norm(),
    ];
    for program in programs {
        let Device::Cpu(cpu) = Device::cpu() else { unreachable!("it is the CPU") };
        let counted: u64 = cpu.need(&program).unwrap().all_weights().values().sum();
        let (loaded, held) = testing::held(|| cpu.load(&program).unwrap());
        assert_eq!(cpu.memory.held(Kind::Weights), counted);
        let off = held - counted as isize;
        assert!((0..4096).contains(&off), "{}: {off} of {counted}", program.steps[0].op.name());
        drop(loaded);
        assert_eq!(cpu.memory.all(), 0);
    }
}
