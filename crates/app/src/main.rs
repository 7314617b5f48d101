//! The `weft` program.

fn main() -> std::process::ExitCode {
    app::main()
}
