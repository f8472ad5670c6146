//! A day of an inference pool in two minutes: arrivals rise and fall, requests queue, replicas come and go, and at
//! night the pool falls to zero. Pure: time comes in as steps, and the same steps give the same day.

/// The length of the day.
const DAY_S: f64 = 120.0;
/// Arrivals per second at noon; more than all replicas can serve, so that the queue is seen.
const NOON_RATE: f64 = 52.0;
/// Requests that one replica serves at a time.
const SLOTS_PER_REPLICA: f64 = 16.0;
/// How long one request takes.
const SERVICE_S: f64 = 2.0;
/// The most replicas there are.
const REPLICAS_MAX: f64 = 5.0;
/// From the decision to a ready replica; a real one takes minutes.
const START_S: f64 = 4.0;
/// How long load must be lower before a replica goes.
const CALM_S: f64 = 6.0;
/// One step of the simulation.
const STEP_S: f64 = 0.05;

/// The state of the pool and of its gateway.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Day {
    /// Seconds since the start.
    pub(super) elapsed_s: f64,
    queue: f64,
    running: f64,
    /// Replicas that serve.
    pub(super) replicas: f64,
    /// Replicas that start, each with the time at which it is ready.
    starting: Vec<f64>,
    calm_s: f64,
    /// Requests that came.
    pub(super) arrived: f64,
    /// Requests that were answered.
    pub(super) answered: f64,
    /// Time that answered requests waited, in all.
    pub(super) waited_s: f64,
    /// Answered requests by waiting time: up to 0.1, 0.5, 1, 2.5, 5 and 10 s.
    pub(super) waited: [f64; 6],
}

/// The bounds of [`Day::waited`].
pub(super) const WAITED_BOUNDS_S: [f64; 6] = [0.1, 0.5, 1.0, 2.5, 5.0, 10.0];

impl Day {
    /// Moves on to `elapsed_s`.
    pub(super) fn advance_to(&mut self, elapsed_s: f64) {
        while self.elapsed_s + STEP_S <= elapsed_s {
            self.step();
        }
    }

    /// The gateway is another process: what waited in it is gone, and its counters begin anew. The pool stays.
    pub(super) fn forget(&mut self) {
        *self = Day {
            elapsed_s: self.elapsed_s,
            replicas: self.replicas,
            starting: std::mem::take(&mut self.starting),
            calm_s: self.calm_s,
            ..Day::default()
        };
    }

    /// The day begins again, with an empty pool and the counters as they are.
    pub(super) fn begin_again(&mut self) {
        *self = Day {
            arrived: self.arrived,
            answered: self.answered,
            waited_s: self.waited_s,
            waited: self.waited,
            ..Day::default()
        };
    }

    /// Requests that wait for a replica.
    pub(super) fn queue(&self) -> u64 {
        self.queue as u64
    }

    /// Requests that are served now.
    pub(super) fn running(&self) -> u64 {
        self.running as u64
    }

    /// How full the pool is; an empty pool reads 1, as the gateway's own gauge does.
    pub(super) fn saturation(&self) -> f64 {
        let slots = self.replicas * SLOTS_PER_REPLICA;
        if slots > 0.0 {
            self.running / slots
        } else {
            1.0
        }
    }

    fn step(&mut self) {
        self.elapsed_s += STEP_S;
        let arriving = rate(self.elapsed_s) * STEP_S;
        self.arrived += arriving;
        self.queue += arriving;
        self.running -= self.running * STEP_S / SERVICE_S;
        if self.running < 0.5 && self.queue < 0.5 && arriving == 0.0 {
            (self.running, self.queue) = (0.0, 0.0); // the tail of the last request
        }
        let free = (self.replicas * SLOTS_PER_REPLICA - self.running).max(0.0);
        let taken = free.min(self.queue);
        let wait_s = if taken > 0.0 {
            self.queue / (taken / STEP_S)
        } else {
            0.0
        };
        self.queue -= taken;
        self.running += taken;
        self.answered += taken;
        self.waited_s += taken * wait_s;
        for (count, bound_s) in self.waited.iter_mut().zip(WAITED_BOUNDS_S) {
            if wait_s <= bound_s {
                *count += taken;
            }
        }
        self.scale();
    }

    /// What an autoscaler with these two signals would do.
    fn scale(&mut self) {
        let now_s = self.elapsed_s;
        let before = self.starting.len();
        self.starting.retain(|ready_s| *ready_s > now_s);
        self.replicas += (before - self.starting.len()) as f64;
        let wanted = ((self.queue + self.running) / SLOTS_PER_REPLICA)
            .ceil()
            .min(REPLICAS_MAX);
        let coming = self.replicas + self.starting.len() as f64;
        if wanted > coming {
            self.starting.push(now_s + START_S);
        }
        self.calm_s = if wanted < self.replicas {
            self.calm_s + STEP_S
        } else {
            0.0
        };
        if self.calm_s >= CALM_S {
            self.replicas -= 1.0;
            self.calm_s = CALM_S / 2.0;
        }
    }
}

/// Arrivals per second: none at night, most at noon, with a ripple so that nothing looks drawn with a ruler.
fn rate(elapsed_s: f64) -> f64 {
    let hour = std::f64::consts::TAU * (elapsed_s - 2.0) / DAY_S;
    let sun = hour.sin();
    if elapsed_s < 2.0 || sun <= 0.0 {
        return 0.0;
    }
    let ripple = 1.0 + 0.15 * (elapsed_s * 1.7).sin() + 0.1 * (elapsed_s * 0.61).sin();
    (NOON_RATE * sun.powf(1.3) * ripple).max(0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_wakes_from_zero_fills_queues_and_falls_to_zero_again() {
        let mut day = Day::default();
        let (mut woke_with_queue, mut queue_most, mut running_most, mut slept_s) =
            (false, 0, 0, 0.0);
        for tenth in 0..1200 {
            day.advance_to(f64::from(tenth) / 10.0);
            woke_with_queue |= day.replicas == 0.0 && day.queue() > 0;
            queue_most = queue_most.max(day.queue());
            running_most = running_most.max(day.running());
            if day.elapsed_s > 60.0 && day.replicas == 0.0 {
                slept_s += 0.1;
            }
        }
        assert!(woke_with_queue, "requests queue while there is no replica");
        assert!((20..2000).contains(&queue_most), "{queue_most}");
        assert!((40..=80).contains(&running_most), "{running_most}");
        assert!(slept_s > 5.0, "{slept_s}");
        assert!(day.answered <= day.arrived + 1.0);
    }
}
