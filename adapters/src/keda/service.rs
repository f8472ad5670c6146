//! The five methods, by path. What a code generator would make of the contract, written out: it is short.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http;
use stillwell_engine::promql::QueryError;
use tonic::server::Grpc;
use tonic::{Request, Response, Status};
use tower_service::Service;

use super::codec::Small;
use super::messages::{
    GetMetricSpecResponse, GetMetricsRequest, GetMetricsResponse, IsActiveResponse, MetricSpec,
    MetricValue, ScaledObjectRef,
};
use super::stream::{Answers, activity, specification};
use super::trigger::{NAME_BYTES_MAX, Trigger};
use super::{Caller, Kept, Refusal, Scalers};
use crate::client::ClientAddress;
use crate::pool::Kind;

/// Of one request: metadata of a trigger with the longest query, and more.
pub const MESSAGE_BYTES_MAX: usize = 64 << 10;
/// KEDA sets no deadline, and a scale loop waits; its own over HTTP is 3 s.
const TIMEOUT_MS: u64 = 3_000;

const SERVICE: &str = "/externalscaler.ExternalScaler/";

/// The methods of the contract.
#[derive(Clone, Copy)]
enum Method {
    IsActive,
    StreamIsActive,
    GetMetricSpec,
    GetMetrics,
    StreamMetricSpec,
}

impl Method {
    fn of(path: &str) -> Option<Method> {
        Some(match path.strip_prefix(SERVICE)? {
            "IsActive" => Method::IsActive,
            "StreamIsActive" => Method::StreamIsActive,
            "GetMetricSpec" => Method::GetMetricSpec,
            "GetMetrics" => Method::GetMetrics,
            "StreamMetricSpec" => Method::StreamMetricSpec,
            _ => return None,
        })
    }
}

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct ExternalScaler {
    scalers: Arc<dyn Scalers>,
}

impl ExternalScaler {
    /// The service of this process.
    pub fn new(scalers: Arc<dyn Scalers>) -> ExternalScaler {
        ExternalScaler { scalers }
    }

    /// Whether there is a method of this path.
    pub fn has(path: &str) -> bool {
        Method::of(path).is_some()
    }

    /// Answers one call from this address; `authenticated` says whether the peer showed a certificate that was verified.
    pub async fn answer(
        &self,
        request: http::Request<Body>,
        address: Option<ClientAddress>,
        authenticated: bool,
    ) -> http::Response<Body> {
        let path = request.uri().path().to_owned();
        let calls = Calls {
            scalers: Arc::clone(&self.scalers),
            address,
            authenticated,
        };
        let answer = match Method::of(&path) {
            Some(Method::IsActive) => unary(request, move |message| calls.activity(message)).await,
            Some(Method::StreamIsActive) => {
                streaming(request, move |message| calls.stream_is_active(message)).await
            }
            Some(Method::GetMetricSpec) => {
                unary(request, move |message| calls.get_metric_spec(message)).await
            }
            Some(Method::GetMetrics) => {
                unary(request, move |message| calls.get_metrics(message)).await
            }
            Some(Method::StreamMetricSpec) => {
                streaming(request, move |message| calls.stream_metric_spec(message)).await
            }
            None => {
                Status::unimplemented(format!("{path}: there is {SERVICE}IsActive and its like"))
                    .into_http()
            }
        };
        answer.map(Body::new)
    }
}

/// One call: who may be asked, and what is known of the peer.
struct Calls {
    scalers: Arc<dyn Scalers>,
    address: Option<ClientAddress>,
    authenticated: bool,
}

impl Calls {
    async fn activity(self, reference: ScaledObjectRef) -> Result<IsActiveResponse, Refusal> {
        let told = self.on_pool(reference, |kept, _| kept.read()).await?;
        Ok(IsActiveResponse {
            result: told.active,
        })
    }

    async fn get_metrics(self, request: GetMetricsRequest) -> Result<GetMetricsResponse, Refusal> {
        let reference = request.scaled_object_ref.unwrap_or_default();
        let (name, value) = self
            .on_pool(reference, |kept, trigger| {
                Ok((trigger.metric_name(), kept.read()?.value))
            })
            .await?;
        // KEDA gives the number the name that it asked for, whatever is said here; some other client may compare.
        let metric_name = match request.metric_name.is_empty() {
            true => name,
            false => request.metric_name,
        };
        Ok(GetMetricsResponse {
            metric_values: vec![MetricValue {
                metric_name,
                metric_value: whole(value),
                metric_value_float: value,
            }],
        })
    }

    async fn get_metric_spec(
        self,
        reference: ScaledObjectRef,
    ) -> Result<GetMetricSpecResponse, Refusal> {
        let caller = caller(&reference, self.authenticated)?;
        // From the metadata alone and at once, whatever is unknown or broken: KEDA that gets no answer once makes a scaler
        // of other metrics, or of none, and does not come back to it (keda#7729, #8168).
        let trigger = Trigger::parse(&reference.scaler_metadata);
        let trigger = trigger.inspect_err(|refusal| self.scalers.refused(&caller, refusal))?;
        self.scalers.specified(&caller, &trigger);
        Ok(specified(&trigger))
    }

    async fn stream_is_active(
        self,
        reference: ScaledObjectRef,
    ) -> Result<Answers<IsActiveResponse>, Refusal> {
        let ending = self.scalers.ending();
        self.on_pool(reference, |kept, _| activity(Arc::clone(kept), ending))
            .await
    }

    async fn stream_metric_spec(
        self,
        reference: ScaledObjectRef,
    ) -> Result<Answers<GetMetricSpecResponse>, Refusal> {
        let ending = self.scalers.ending();
        self.on_pool(reference, |kept, trigger| {
            specification(Arc::clone(kept), ending, specified(trigger))
        })
        .await
    }

    /// Finds the caller's trigger and does something with it, where it may take a while.
    async fn on_pool<T: Send + 'static>(
        self,
        reference: ScaledObjectRef,
        work: impl FnOnce(&Arc<dyn Kept>, &Trigger) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let caller = caller(&reference, self.authenticated)?;
        let scalers = Arc::clone(&self.scalers);
        let (asked_by, address) = (caller.clone(), self.address);
        let worked = self
            .scalers
            .queries()
            .run(Kind::Scaler, TIMEOUT_MS, move |_| {
                let answered = Trigger::parse(&reference.scaler_metadata).and_then(|trigger| {
                    let kept = scalers.trigger(&asked_by, address, &trigger)?;
                    work(&kept, &trigger)
                });
                Ok(answered)
            });
        let answered = worked.await.unwrap_or_else(|error| {
            Err(match error {
                QueryError::Timeout(_) => Refusal::unknown(format!(
                    "no answer within {} s: this process has too much to do",
                    TIMEOUT_MS / 1000
                )),
                error => Refusal::unknown(error),
            })
        });
        answered.inspect_err(|refusal| {
            if refusal.code != tonic::Code::Unavailable {
                self.scalers.refused(&caller, refusal);
            }
        })
    }
}

fn caller(reference: &ScaledObjectRef, authenticated: bool) -> Result<Caller, Refusal> {
    for (key, text) in [
        ("scaledObjectRef.name", &reference.name),
        ("scaledObjectRef.namespace", &reference.namespace),
    ] {
        if text.len() > NAME_BYTES_MAX {
            let why = format!("{} bytes; at most {NAME_BYTES_MAX} are read", text.len());
            return Err(Refusal::invalid(key, why));
        }
    }
    Ok(Caller {
        namespace: reference.namespace.clone(),
        name: reference.name.clone(),
        authenticated,
    })
}

fn specified(trigger: &Trigger) -> GetMetricSpecResponse {
    GetMetricSpecResponse {
        metric_specs: vec![MetricSpec {
            metric_name: trigger.metric_name(),
            target_size: whole(trigger.threshold).max(1),
            target_size_float: trigger.threshold,
        }],
    }
}

/// For a KEDA that knows no floats: rounded up, for half a request is demand. Casts end at the bounds of i64.
fn whole(value: f64) -> i64 {
    value.ceil() as i64
}

async fn unary<M, R, F>(
    request: http::Request<Body>,
    call: impl FnOnce(M) -> F + Send + 'static,
) -> http::Response<tonic::body::Body>
where
    M: prost::Message + Default + 'static,
    R: prost::Message + 'static,
    F: Future<Output = Result<R, Refusal>> + Send + 'static,
{
    codec::<M, R>().unary(Once::new(call), request).await
}

async fn streaming<M, R, F>(
    request: http::Request<Body>,
    call: impl FnOnce(M) -> F + Send + 'static,
) -> http::Response<tonic::body::Body>
where
    M: prost::Message + Default + 'static,
    R: prost::Message + 'static,
    F: Future<Output = Result<Answers<R>, Refusal>> + Send + 'static,
{
    codec::<M, R>()
        .server_streaming(Once::new(call), request)
        .await
}

fn codec<M, R>() -> Grpc<Small<R, M>>
where
    M: prost::Message + Default + 'static,
    R: prost::Message + 'static,
{
    Grpc::new(Small::default()).max_decoding_message_size(MESSAGE_BYTES_MAX)
}

/// A method as tonic wants it: a service that is called once.
struct Once<C>(Option<C>);

impl<C> Once<C> {
    fn new(call: C) -> Once<C> {
        Once(Some(call))
    }
}

impl<C, M, R, F> Service<Request<M>> for Once<C>
where
    C: FnOnce(M) -> F,
    F: Future<Output = Result<R, Refusal>> + Send + 'static,
{
    type Response = Response<R>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<M>) -> Self::Future {
        let Some(call) = self.0.take() else {
            return Box::pin(async { Err(Status::internal("called twice")) });
        };
        let answering = call(request.into_inner());
        Box::pin(async move { Ok(Response::new(answering.await?)) })
    }
}
