//! What a person sees while servers start.

/// One line on stderr: stdout belongs to the program that is being run.
#[expect(
    clippy::print_stderr,
    reason = "progress is for the person at the terminal, not for logs"
)]
pub(crate) fn say(line: impl AsRef<str>) {
    eprintln!("stack: {}", line.as_ref());
}
