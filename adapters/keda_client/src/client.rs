//! The methods of the external scaler, over any HTTP/2 transport.

use std::error::Error;

use axum::body::HttpBody;
use axum::http::Response;
use axum::http::uri::PathAndQuery;
use bytes::Bytes;
use tonic::client::Grpc;
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;

use stillwell_adapters::keda::{
    GetMetricSpecResponse, GetMetricsRequest, GetMetricsResponse, IsActiveResponse, ScaledObjectRef,
};

/// Calls over one transport.
#[derive(Clone)]
pub struct Client<T>(Grpc<T>);

impl<T, B> Client<T>
where
    T: tower_service::Service<axum::http::Request<tonic::body::Body>, Response = Response<B>>,
    T::Error: Into<Box<dyn Error + Send + Sync>>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    /// A client that sends over `transport`.
    pub fn new(transport: T) -> Client<T> {
        Client(Grpc::new(transport))
    }

    /// `IsActive`.
    pub async fn is_active(&mut self, reference: ScaledObjectRef) -> Result<bool, Status> {
        let answer: IsActiveResponse = self.unary("IsActive", reference).await?;
        Ok(answer.result)
    }

    /// `StreamIsActive`.
    pub async fn stream_is_active(
        &mut self,
        reference: ScaledObjectRef,
    ) -> Result<Streaming<IsActiveResponse>, Status> {
        self.streaming("StreamIsActive", reference).await
    }

    /// `GetMetricSpec`.
    pub async fn get_metric_spec(
        &mut self,
        reference: ScaledObjectRef,
    ) -> Result<GetMetricSpecResponse, Status> {
        self.unary("GetMetricSpec", reference).await
    }

    /// `GetMetrics`.
    pub async fn get_metrics(
        &mut self,
        request: GetMetricsRequest,
    ) -> Result<GetMetricsResponse, Status> {
        self.unary("GetMetrics", request).await
    }

    /// `StreamMetricSpec`.
    pub async fn stream_metric_spec(
        &mut self,
        reference: ScaledObjectRef,
    ) -> Result<Streaming<GetMetricSpecResponse>, Status> {
        self.streaming("StreamMetricSpec", reference).await
    }

    async fn unary<M, R>(&mut self, method: &'static str, message: M) -> Result<R, Status>
    where
        M: prost::Message + 'static,
        R: prost::Message + Default + 'static,
    {
        self.ready().await?;
        let codec = ProstCodec::<M, R>::default();
        let answer = self.0.unary(Request::new(message), path(method), codec);
        Ok(answer.await?.into_inner())
    }

    async fn streaming<M, R>(
        &mut self,
        method: &'static str,
        message: M,
    ) -> Result<Streaming<R>, Status>
    where
        M: prost::Message + 'static,
        R: prost::Message + Default + 'static,
    {
        self.ready().await?;
        let codec = ProstCodec::<M, R>::default();
        let answer = self
            .0
            .server_streaming(Request::new(message), path(method), codec);
        Ok(answer.await?.into_inner())
    }

    async fn ready(&mut self) -> Result<(), Status> {
        let ready = self.0.ready().await;
        ready.map_err(|error| Status::unavailable(error.into().to_string()))
    }
}

fn path(method: &str) -> PathAndQuery {
    let path = format!("/externalscaler.ExternalScaler/{method}");
    PathAndQuery::try_from(path).expect("a method's name is a path")
}
