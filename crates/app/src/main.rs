//! The `weft` program.

fn main() -> std::process::ExitCode {
    // Mesa's layer that prefers the compositor's GPU complains on standard error where there is no desktop;
    // Weft chooses by kind.
    // SAFETY: no other thread runs yet.
    unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    app::main()
}
