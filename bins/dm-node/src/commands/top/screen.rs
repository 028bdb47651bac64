//! The terminal, which is left as it was found, whatever happens.

use std::{io, thread, time::Duration};

use ratatui::{
    DefaultTerminal,
    buffer::Buffer,
    crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
    layout::Rect,
};
use tokio::sync::mpsc;

/// Between two looks whether the screen is still wanted.
const KEY_INTERVAL: Duration = Duration::from_millis(100);

/// What a person has done at the terminal.
pub(super) enum Key {
    /// `q`, Escape or Ctrl-C.
    Quit,
    /// Another key, or another size of the terminal.
    Other,
}

/// The terminal in raw mode, on its alternate screen. Dropping it brings back what was there;
/// so does a panic.
pub(super) struct Screen {
    terminal: DefaultTerminal,
    keys: mpsc::Receiver<io::Result<Key>>,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// Where there is none, or it cannot be set up; it is as it was then.
    pub(super) fn take() -> io::Result<Self> {
        let terminal = ratatui::try_init().inspect_err(|_| ratatui::restore())?;
        let (teller, keys) = mpsc::channel(16);
        // A thread: nothing that is awaited may wait for a key.
        thread::spawn(move || while tell_next(&teller) {});
        Ok(Self { terminal, keys })
    }

    /// Draws everything anew, in the size that the terminal has now.
    ///
    /// # Errors
    /// Where the terminal cannot be written to.
    pub(super) fn draw(&mut self, render: impl FnOnce(Rect, &mut Buffer)) -> io::Result<()> {
        let drawn = self
            .terminal
            .draw(|frame| render(frame.area(), frame.buffer_mut()));
        drawn.map(|_| ())
    }

    /// Waits for what a person does.
    ///
    /// # Errors
    /// Where the terminal cannot be read.
    pub(super) async fn key(&mut self) -> io::Result<Key> {
        let gone = || io::Error::other("nobody reads the terminal any more");
        self.keys.recv().await.ok_or_else(gone)?
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Tells the next key, if one comes soon; whether there may be another one.
fn tell_next(teller: &mpsc::Sender<io::Result<Key>>) -> bool {
    let read = match event::poll(KEY_INTERVAL) {
        Ok(false) => return !teller.is_closed(),
        Ok(true) => event::read(),
        Err(error) => Err(error),
    };
    let is_readable = read.is_ok();
    teller.blocking_send(read.map(|event| key_of(&event))).is_ok() && is_readable
}

fn key_of(event: &Event) -> Key {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release && quits(key) => Key::Quit,
        _ => Key::Other,
    }
}

fn quits(key: &KeyEvent) -> bool {
    match key.code {
        KeyCode::Char('c') => key.modifiers.contains(KeyModifiers::CONTROL),
        KeyCode::Char('q' | 'Q') | KeyCode::Esc => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_escape_and_ctrl_c_quit_and_nothing_else_does() {
        let key = |code, modifiers| Event::Key(KeyEvent::new(code, modifiers));
        for (code, modifiers) in [
            (KeyCode::Char('q'), KeyModifiers::NONE),
            (KeyCode::Esc, KeyModifiers::NONE),
            (KeyCode::Char('c'), KeyModifiers::CONTROL),
        ] {
            assert!(matches!(key_of(&key(code, modifiers)), Key::Quit), "{code:?}");
        }
        for event in [
            key(KeyCode::Char('c'), KeyModifiers::NONE),
            key(KeyCode::Enter, KeyModifiers::NONE),
            Event::Resize(1, 1),
        ] {
            assert!(matches!(key_of(&event), Key::Other), "{event:?}");
        }
    }
}
