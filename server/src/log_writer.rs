//! A thread that writes log lines, so that nobody who has something to say waits for whoever reads standard error.
//!
//! A pipe that nobody reads takes 64 kB and then stops its writer. Lines wait in a queue of bounded length; what does not
//! fit is dropped and counted, and the count is told as soon as a line goes through again. What repeats is folded: of the
//! same event about the same target a few lines are written at once, then one a while with the number left out.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use parking_lot::Mutex;

/// Lines that wait for whoever reads; with [`LINE_BYTES_MAX`] at most 16 MB.
const LINES_MAX: usize = 2_048;
/// A longer line is cut: what a peer sends may be in it.
const LINE_BYTES_MAX: usize = 8 << 10;
/// Lines about the same thing that are written at once; then one more for every [`REFILL_MS`].
const BURST: u32 = 10;
/// See [`BURST`].
const REFILL_MS: i64 = 10_000;
/// Things that are told apart; past it the counts start anew.
const SUBJECTS_MAX: usize = 4_096;

/// Where lines go.
#[derive(Clone)]
pub(crate) struct LogWriter {
    lines: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
    subjects: Arc<Mutex<HashMap<u64, Subject>>>,
}

enum Message {
    Line(String),
    /// Everything before it has been written.
    Flush(SyncSender<()>),
}

/// How much was said about one thing.
struct Subject {
    left: u32,
    since_ms: i64,
    folded: u64,
}

impl LogWriter {
    /// Starts the thread, which lives as long as the process.
    pub(crate) fn start(out: impl Write + Send + 'static) -> LogWriter {
        let (lines, queue) = sync_channel(LINES_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let of_thread = Arc::clone(&dropped);
        let spawned = std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_lines(&queue, &of_thread, out));
        // Without the thread every line is dropped; there is nobody to tell.
        drop(spawned);
        LogWriter {
            lines,
            dropped,
            subjects: Arc::default(),
        }
    }

    /// How many lines like this one were folded since the last that was written; `None` if this one is folded too.
    /// `subject` says what it is about.
    pub(crate) fn admit(&self, subject: u64, now_ms: i64) -> Option<u64> {
        let mut subjects = self.subjects.lock();
        if subjects.len() >= SUBJECTS_MAX && !subjects.contains_key(&subject) {
            subjects.clear();
        }
        let told = subjects.entry(subject).or_insert(Subject {
            left: BURST,
            since_ms: now_ms,
            folded: 0,
        });
        let refilled = now_ms.saturating_sub(told.since_ms) / REFILL_MS;
        if refilled > 0 {
            let left = i64::from(told.left).saturating_add(refilled);
            told.left = u32::try_from(left).unwrap_or(BURST).min(BURST);
            told.since_ms = now_ms;
        }
        if told.left == 0 {
            told.folded += 1;
            return None;
        }
        told.left -= 1;
        Some(std::mem::take(&mut told.folded))
    }

    /// Queues a line, or drops it.
    pub(crate) fn write(&self, mut line: String) {
        if line.len() > LINE_BYTES_MAX {
            let end = line.floor_char_boundary(LINE_BYTES_MAX);
            let cut = line.len() - end;
            line.truncate(end);
            line.push_str(&format!("... ({cut} bytes cut)\n"));
        }
        match self.lines.try_send(Message::Line(line)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Waits until what was queued has been written, but not for long: somebody may never read it.
    pub(crate) fn flush(&self, timeout: Duration) {
        let (done, written) = sync_channel(1);
        if self.lines.try_send(Message::Flush(done)).is_ok() {
            // Either way the process goes on to end.
            let _ = written.recv_timeout(timeout);
        }
    }
}

fn write_lines(queue: &Receiver<Message>, dropped: &AtomicU64, mut out: impl Write) {
    while let Ok(message) = queue.recv() {
        match message {
            Message::Line(line) => {
                let lost = dropped.swap(0, Ordering::Relaxed);
                if lost > 0 {
                    let told = format!(
                        "level=WARN msg=\"{lost} log lines were dropped: standard error was not read fast enough\"\n"
                    );
                    // Nobody is left to tell when standard error is closed.
                    out.write_all(told.as_bytes()).ok();
                }
                out.write_all(line.as_bytes()).ok();
            }
            Message::Flush(done) => {
                // Whoever asked may have given up.
                done.try_send(()).ok();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pipe that nobody reads: the first write never returns until it is let go.
    struct Stuck(std::sync::mpsc::Receiver<()>, SyncSender<Vec<u8>>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.recv().ok();
            self.1.send(bytes.to_vec()).ok();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_waits_for_a_pipe_that_is_not_read_and_what_is_lost_is_told() {
        let (let_go, hold) = sync_channel(1_000_000);
        let (wrote, written) = sync_channel(1_000_000);
        let log = LogWriter::start(Stuck(hold, wrote));
        for number in 0..3 * LINES_MAX {
            log.write(format!("line {number}\n"));
        }
        log.flush(Duration::ZERO);
        for _ in 0..LINES_MAX + 2 {
            let_go.send(()).expect("the thread lives");
        }
        let lines: Vec<String> = (0..LINES_MAX)
            .map(|_| String::from_utf8(written.recv().expect("written")).expect("text"))
            .collect();
        assert!(lines.contains(&"line 0\n".to_owned()));
        assert!(
            lines
                .iter()
                .any(|line| line.contains("log lines were dropped"))
        );
    }

    #[test]
    fn long_lines_are_cut_and_repeats_are_folded_and_counted() {
        let (wrote, written) = sync_channel(100);
        let (let_go, hold) = sync_channel(100);
        let log = LogWriter::start(Stuck(hold, wrote));
        log.write("ö".repeat(LINE_BYTES_MAX));
        let_go.send(()).expect("the thread lives");
        let line = String::from_utf8(written.recv().expect("written")).expect("whole characters");
        assert!(line.len() < LINE_BYTES_MAX + 40 && line.ends_with("bytes cut)\n"));
        let admitted = (0..100).filter(|_| log.admit(7, 0).is_some()).count();
        assert_eq!(admitted, BURST as usize);
        assert_eq!(log.admit(8, 0), Some(0), "another target");
        assert_eq!(log.admit(7, REFILL_MS), Some(90));
        assert_eq!(log.admit(7, REFILL_MS), None);
    }
}
