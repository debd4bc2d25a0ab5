//! Whether the terminal shows what is typed.

#[cfg(unix)]
use std::{
    fs::{File, OpenOptions},
    io,
};

#[cfg(unix)]
use parking_lot::Mutex;
#[cfg(unix)]
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// The terminal, and how it was.
#[cfg(unix)]
static SAVED: Mutex<Option<(File, Termios)>> = Mutex::new(None);

/// Shows nothing that is typed from now on, where there is a terminal, until [`restore`].
///
/// `rpassword` hides it too, but only once the question stands there; and where Ctrl-C ends the
/// program, nobody waits for the thread that asks to put the terminal back.
pub(crate) fn hide() {
    #[cfg(unix)]
    if let Ok(saved) = hidden() {
        *SAVED.lock() = Some(saved);
    }
}

#[cfg(unix)]
fn hidden() -> io::Result<(File, Termios)> {
    let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
    let before = tcgetattr(&terminal)?;
    let mut hidden = before.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&terminal, OptionalActions::Now, &hidden)?;
    Ok((terminal, before))
}

/// Puts the terminal back as it was before [`hide`].
pub(crate) fn restore() {
    #[cfg(unix)]
    if let Some((terminal, before)) = SAVED.lock().take() {
        // A terminal that is gone shows nothing.
        let _ = tcsetattr(&terminal, OptionalActions::Now, &before);
    }
}
