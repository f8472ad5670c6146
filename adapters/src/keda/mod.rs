//! KEDA's external scaler over gRPC (`externalscaler.ExternalScaler`), pushing: a pool wakes on the commit that sees its
//! first queued request, not at KEDA's next poll.
//!
//! `messages` and `service` are the wire, `trigger` is what a ScaledObject may ask for, `pace` when a stream speaks.
//! What is asked for is kept by the process ([`Scalers`]); nothing is kept here but streams, and a stream makes its next
//! message only when the client takes it, so there is no queue to bound.
//!
//! Budget: from the published value to the message on the wire 25 ms; bench `wake`.

mod codec;
mod messages;
mod pace;
mod refusal;
mod service;
mod stream;
mod trigger;

use std::sync::Arc;

use tokio::sync::watch;

use crate::client::ClientAddress;
use crate::pool::QueryPool;

pub use messages::{
    GetMetricSpecResponse, GetMetricsRequest, GetMetricsResponse, IsActiveResponse, MetricSpec,
    MetricValue, ScaledObjectRef,
};
pub use pace::{Level, Pace};
pub use refusal::Refusal;
pub use service::{ExternalScaler, MESSAGE_BYTES_MAX};
pub use trigger::{
    KEYS_MAX, LATCH_MS_DEFAULT, NAME_BYTES_MAX, QUERY_BYTES_MAX, REMEDY, Source, THRESHOLD_MIN,
    THRESHOLD_TOO_SMALL, Trigger, check_query, go_duration_ms,
};

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Caller {
    /// The ScaledObject's namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The peer showed a certificate that was verified; only then the namespace is more than a claim.
    pub authenticated: bool,
}

/// What a trigger says now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Told {
    /// The signal's number.
    pub value: f64,
    /// Whether to be awake.
    pub active: bool,
}

/// The process behind this API: it keeps what is asked for, for as long as it is asked for.
pub trait Scalers: Send + Sync + 'static {
    /// Runs what may have to evaluate.
    fn queries(&self) -> &QueryPool;

    /// The trigger of a caller, who asks from this address, kept from now on for some minutes after the last call. May evaluate:
    /// call it on the pool.
    fn trigger(
        &self,
        caller: &Caller,
        address: Option<ClientAddress>,
        trigger: &Trigger,
    ) -> Result<Arc<dyn Kept>, Refusal>;

    /// A caller was refused; people will ask why.
    fn refused(&self, caller: &Caller, refusal: &Refusal);

    /// A caller was given the metrics of its trigger, from the metadata alone: whether there is what it names comes out at the
    /// first poll. Takes no look at anything but the configuration.
    fn specified(&self, caller: &Caller, trigger: &Trigger);

    /// Turns true when streams shall end.
    fn ending(&self) -> watch::Receiver<bool>;
}

/// A trigger that is kept.
pub trait Kept: Send + Sync {
    /// What it says now. May evaluate: call it on the pool.
    fn read(&self) -> Result<Told, Refusal>;

    /// Whether to be awake, as it changes.
    fn level(&self) -> watch::Receiver<Level>;

    /// A stream begins; refused where there are too many.
    fn stream_opened(&self) -> Result<(), Refusal>;

    /// A stream that began has ended.
    fn stream_closed(&self);
}
