//! Lines in, lines out: with an editor on a terminal, plain when piped.

use std::{
    io::{BufRead, IsTerminal, Write},
    thread,
};

use anyhow::Context;
use rustyline::{DefaultEditor, ExternalPrinter, error::ReadlineError};
use tokio::sync::mpsc;

/// Lines typed ahead of what is done with them.
const AHEAD: usize = 16;

/// Where lines are shown.
pub(crate) struct Screen {
    printer: Option<Box<dyn ExternalPrinter + Send>>,
}

/// Starts reading on a thread of its own, as neither way of reading can be interrupted; the program ends without it.
pub(crate) fn open() -> anyhow::Result<(mpsc::Receiver<String>, Screen)> {
    let (lines, receiver) = mpsc::channel(AHEAD);
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        thread::Builder::new()
            .name("stdin".to_owned())
            .spawn(move || {
                for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                    if lines.blocking_send(line).is_err() {
                        break;
                    }
                }
            })?;
        return Ok((receiver, Screen { printer: None }));
    }
    let mut editor = DefaultEditor::new().context("open the terminal")?;
    let printer = editor
        .create_external_printer()
        .context("open the terminal")?;
    thread::Builder::new()
        .name("terminal".to_owned())
        .spawn(move || {
            loop {
                match editor.readline("> ") {
                    Ok(line) => {
                        // Only for this session's arrow keys: a line without history is no loss.
                        let _ = editor.add_history_entry(&line);
                        if lines.blocking_send(line).is_err() {
                            break;
                        }
                    }
                    Err(ReadlineError::Signal(_)) => {}
                    Err(_) => break, // Ctrl-C, Ctrl-D, or the terminal is gone
                }
            }
        })?;
    Ok((
        receiver,
        Screen {
            printer: Some(Box::new(printer)),
        },
    ))
}

impl Screen {
    /// Shows a line, above the one being typed.
    pub(crate) fn show(&mut self, line: &str) {
        // A terminal that is gone is noticed by its reader.
        let _ = match &mut self.printer {
            Some(printer) => printer.print(format!("{line}\n")).is_ok(),
            None => writeln!(std::io::stdout().lock(), "{line}").is_ok(),
        };
    }
}
