//! Answers that go on: a message is made when the client can take it, from what is true then.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_stream::Stream;
use tonic::Status;

use super::messages::{GetMetricSpecResponse, IsActiveResponse};
use super::pace::{Level, Pace};
use super::{Kept, Refusal};

/// A stream of messages of one kind. It ends by itself, with OK, when the process or the signal ends.
pub(super) struct Answers<M> {
    next: Next<M>,
    ended: bool,
}

/// A message and what follows it; `None` at the end.
type Next<M> = Pin<Box<dyn Future<Output = Option<(M, Answers<M>)>> + Send>>;

impl<M: 'static> Answers<M> {
    fn new(next: impl Future<Output = Option<(M, Self)>> + Send + 'static) -> Answers<M> {
        Answers {
            next: Box::pin(next),
            ended: false,
        }
    }
}

impl<M> Stream for Answers<M> {
    type Item = Result<M, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        Poll::Ready(match ready!(self.next.as_mut().poll(context)) {
            Some((message, rest)) => {
                *self = rest;
                Some(Ok(message))
            }
            None => {
                self.ended = true;
                None
            }
        })
    }
}

/// Counted for as long as it lives.
struct Open(Arc<dyn Kept>);

impl Open {
    fn new(kept: Arc<dyn Kept>) -> Result<Open, Refusal> {
        kept.stream_opened()?;
        Ok(Open(kept))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.stream_closed();
    }
}

/// `StreamIsActive`.
pub(super) fn activity(
    kept: Arc<dyn Kept>,
    ending: watch::Receiver<bool>,
) -> Result<Answers<IsActiveResponse>, Refusal> {
    let activity = Activity {
        level: kept.level(),
        ending,
        pace: Pace::default(),
        began: Instant::now(),
        _open: Open::new(kept)?,
    };
    Ok(activity.answers())
}

struct Activity {
    level: watch::Receiver<Level>,
    ending: watch::Receiver<bool>,
    pace: Pace,
    began: Instant,
    _open: Open,
}

impl Activity {
    fn answers(mut self) -> Answers<IsActiveResponse> {
        Answers::new(async move {
            let result = self.next().await?;
            Some((IsActiveResponse { result }, self.answers()))
        })
    }

    /// The next message, in its time.
    async fn next(&mut self) -> Option<bool> {
        loop {
            let level = *self.level.borrow_and_update();
            if level == Level::Ended || *self.ending.borrow() {
                return None;
            }
            let began = self.began;
            let now_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            let (send, again_ms) = self.pace.step(level, now_ms);
            if send.is_some() {
                return send;
            }
            let again = async move {
                match again_ms {
                    Some(ms) => sleep_until(began + Duration::from_millis(ms)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = self.level.changed() => changed.ok()?, // an error: nobody keeps it any more
                _ = self.ending.wait_for(|ending| *ending) => return None,
                () = again => {}
            }
        }
    }
}

/// `StreamMetricSpec`: the trigger's metadata is fixed while its stream is open, so there is one message.
pub(super) fn specification(
    kept: Arc<dyn Kept>,
    ending: watch::Receiver<bool>,
    message: GetMetricSpecResponse,
) -> Result<Answers<GetMetricSpecResponse>, Refusal> {
    let level = kept.level();
    let open = Open::new(kept)?;
    let rest = Answers::new(until_the_end(level, ending, open));
    Ok(Answers::new(async move { Some((message, rest)) }))
}

async fn until_the_end(
    mut level: watch::Receiver<Level>,
    mut ending: watch::Receiver<bool>,
    _open: Open,
) -> Option<(GetMetricSpecResponse, Answers<GetMetricSpecResponse>)> {
    tokio::select! {
        _ = level.wait_for(|level| *level == Level::Ended) => None,
        _ = ending.wait_for(|ending| *ending) => None,
    }
}
