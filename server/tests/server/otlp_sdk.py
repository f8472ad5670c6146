"""Sends one measurement of every instrument kind with OpenTelemetry's SDK to the URL that is given."""

import sys

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=sys.argv[1]), export_interval_millis=3_600_000)
view = View(instrument_name="an.exponential.histogram", aggregation=ExponentialBucketHistogramAggregation())
provider = MeterProvider(
    metric_readers=[reader], views=[view], resource=Resource.create({"service.name": "sdk", "service.instance.id": "1"})
)
meter = provider.get_meter("test")
labels = {"k": "v"}
meter.create_counter("a.counter").add(3, labels)
meter.create_up_down_counter("an.up.down.counter").add(-2, labels)
meter.create_gauge("a.gauge", unit="Cel").set(21.5, labels)
meter.create_observable_counter("an.observable.counter", callbacks=[lambda _: [Observation(11, labels)]])
meter.create_observable_up_down_counter("an.observable.up.down.counter", callbacks=[lambda _: [Observation(-4, labels)]])
meter.create_observable_gauge("an.observable.gauge", callbacks=[lambda _: [Observation(0.5, labels)]])
for name in ("a.histogram", "an.exponential.histogram"):
    unit = "s" if name == "a.histogram" else ""
    histogram = meter.create_histogram(name, unit=unit)
    histogram.record(0.25, labels)
    histogram.record(1.0, labels)
if not provider.force_flush():
    sys.exit("not sent")
provider.shutdown()
