//! What only the GPU can get wrong: memory that is not there, a device that goes away, bindings that are
//! too large for this adapter.

use crate::{Conv, Device, Tape, testing};

fn gpus() -> Vec<Device> {
    testing::devices(u64::MAX).into_iter().skip(1).collect()
}

#[test]
fn an_array_that_no_gpu_holds_is_an_error_with_its_size() {
    for gpu in gpus() {
        let tape = Tape::new();
        let x = tape.input("x", &[1 << 20, 1 << 12]);
        let y = x.affine(2.0, 0.0);
        let error = gpu.compile(tape.finish(&[&y])).err().unwrap().to_string();
        assert!(error.contains("17179869184 bytes") && error.contains("--device cpu"), "{error}");
    }
}

#[test]
fn a_lost_device_is_an_error_that_says_so() {
    for gpu in gpus() {
        let tape = Tape::new();
        let y = tape.input("x", &[4]).affine(2.0, 0.0);
        let mut network = gpu.compile(tape.finish(&[&y])).unwrap();
        assert_eq!(network.run(&[&[1.0, 2.0, 3.0, 4.0]]).unwrap(), [[2.0, 4.0, 6.0, 8.0]]);
        let Device::Gpu(device) = &gpu else { unreachable!("only GPUs are here") };
        device.device.destroy();
        let error = network.run(&[&[1.0, 2.0, 3.0, 4.0]]).err().unwrap().to_string();
        assert!(error.contains("stopped working"), "{error}");
    }
}

/// 140 MB of input: more than lavapipe binds at once.
#[test]
fn pictures_larger_than_a_binding_are_done_in_pieces() {
    let (h, w, c) = (1100, 1000, 32);
    let weights =
        testing::weights(&[("w", &[4, c, 3, 3]), ("b", &[4]), ("gw", &[c]), ("gb", &[c])]);
    let get = |key: &str| weights.get(key).unwrap();
    let program = || {
        let tape = Tape::new();
        let x = tape.input("x", &[1, h, w, c]).group_norm(4, &get("gw"), &get("gb"), 1e-5).silu();
        let y = x.conv2d(&get("w"), Some(&get("b")), Conv { stride: 4, ..Conv::same(3) });
        tape.finish(&[&y]).folded()
    };
    let x = testing::numbers(h * w * c, 5);
    let mut results = [Device::cpu()]
        .into_iter()
        .chain(gpus().into_iter().take(1))
        .map(|device| device.compile(program()).unwrap().run(&[&x]).unwrap().swap_remove(0));
    let expected = results.next().unwrap();
    results.for_each(|got| testing::assert_close(&got, &expected, 1e-5));
}

/// More workgroups than one line of a grid may have, one for each row and for 64 numbers.
#[test]
fn grids_longer_than_a_line_are_folded() {
    let rows = 66_000;
    let weights = testing::weights(&[("w", &[2]), ("b", &[2])]);
    let program = |numbers: usize| {
        let tape = Tape::new();
        let x = tape.input("x", &[rows, numbers / rows]);
        let y = if numbers / rows == 2 {
            x.layer_norm(&weights.get("w").unwrap(), &weights.get("b").unwrap(), 1e-2)
        } else {
            x.silu()
        };
        tape.finish(&[&y])
    };
    for numbers in [2 * rows, 65 * rows] {
        let x = testing::numbers(numbers, 6);
        let run = |device: &Device| {
            device.compile(program(numbers)).unwrap().run(&[&x]).unwrap().swap_remove(0)
        };
        let expected = run(&Device::cpu());
        gpus().iter().take(1).for_each(|gpu| testing::assert_close(&run(gpu), &expected, 1e-5));
    }
}
