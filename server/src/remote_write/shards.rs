//! Requests under way: shards with a queue each, which send one after another.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use stillwell_adapters::remote_write::outgoing::Packed;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use super::delivery::{Delivery, Receiver};

/// Bytes of requests that wait or are under way to one receiver.
pub(super) const HELD_BYTES_MAX: usize = 32 << 20;

/// Running shards. They end when this is dropped, with what they hold.
pub(super) struct Shards {
    queues: Vec<mpsc::Sender<Job>>,
    tasks: JoinSet<()>,
    under_way: Arc<UnderWay>,
    room: Arc<Semaphore>,
    receiver: Arc<Receiver>,
}

/// A shard has ended, which it never should.
#[derive(Debug)]
pub(super) struct Ended;

struct Job {
    request: Packed,
    _counted: Counted,
}

#[derive(Default)]
struct UnderWay {
    requests: AtomicUsize,
    none: Notify,
}

/// One request and its bytes, counted until it is dealt with.
struct Counted {
    under_way: Arc<UnderWay>,
    receiver: Arc<Receiver>,
    bytes: u64,
    _room: OwnedSemaphorePermit,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let held = &self.receiver.counts.held_bytes;
        held.fetch_sub(self.bytes, Ordering::Relaxed);
        if self.under_way.requests.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.under_way.none.notify_waiters();
        }
    }
}

impl Shards {
    /// So many, on the current runtime.
    pub(super) fn start(receiver: &Arc<Receiver>, count: usize) -> Shards {
        let queue = &receiver.config.queue;
        let waiting = (queue.capacity / queue.samples_per_send_max).clamp(1, 1_000);
        let mut shards = Shards {
            queues: Vec::with_capacity(count),
            tasks: JoinSet::new(),
            under_way: Arc::default(),
            room: Arc::new(Semaphore::new(HELD_BYTES_MAX)),
            receiver: Arc::clone(receiver),
        };
        for _ in 0..count.max(1) {
            let (queue, mut jobs) = mpsc::channel::<Job>(waiting as usize);
            let mut delivery = Delivery::new(Arc::clone(receiver));
            shards.tasks.spawn(async move {
                while let Some(job) = jobs.recv().await {
                    delivery.deliver(&job.request).await;
                }
            });
            shards.queues.push(queue);
        }
        receiver
            .counts
            .shards
            .store(shards.len() as u64, Ordering::Relaxed);
        shards
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.queues.len()
    }

    /// Queues a request, once there is a place and memory for it.
    pub(super) async fn send(&self, shard: usize, request: Packed) -> Result<(), Ended> {
        let bytes = request.bytes.len();
        let permits = bytes.clamp(1, HELD_BYTES_MAX) as u32;
        let room = Arc::clone(&self.room).acquire_many_owned(permits).await;
        let room = room.map_err(|_| Ended)?;
        self.under_way.requests.fetch_add(1, Ordering::AcqRel);
        let held = &self.receiver.counts.held_bytes;
        held.fetch_add(bytes as u64, Ordering::Relaxed);
        let job = Job {
            request,
            _counted: Counted {
                under_way: Arc::clone(&self.under_way),
                receiver: Arc::clone(&self.receiver),
                bytes: bytes as u64,
                _room: room,
            },
        };
        self.queues[shard].send(job).await.map_err(|_| Ended)
    }

    /// Waits until every request is dealt with.
    pub(super) async fn settle(&mut self) -> Result<(), Ended> {
        loop {
            let none = self.under_way.none.notified();
            if self.under_way.requests.load(Ordering::Acquire) == 0 {
                break;
            }
            none.await;
        }
        match self.tasks.try_join_next() {
            Some(_) => Err(Ended), // it has panicked, and what it had was lost
            None => Ok(()),
        }
    }
}
