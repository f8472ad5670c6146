// What a scrape costs a gateway: the CPU time of client_golang's own handler for pages like an Endpoint Picker's.
//
//	go run . [SERIES...]
//
// Gateways of the Gateway API Inference Extension serve their metrics by this library, in the process that routes
// requests. A third of the series are gauges and counters by model, the rest are histograms of 13 buckets. Every scrape
// moves a tenth of them. Printed per page: the CPU of one scrape, and its share of a core at one scrape each 100 ms, for
// the text format, the text format in gzip, protobuf, and, where the library knows `name[]`, three families alone.
package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"

// So much CPU is measured at least.
const measured = 2 * time.Second

func main() {
	sizes := []int{2_000, 20_000, 200_000}
	if len(os.Args) > 1 {
		sizes = nil
		for _, text := range os.Args[1:] {
			size, err := strconv.Atoi(text)
			if err != nil {
				fmt.Fprintln(os.Stderr, "usage: go run . [SERIES...]")
				os.Exit(1)
			}
			sizes = append(sizes, size)
		}
	}
	fmt.Println("| series | asked for | page, kB | CPU of a scrape, ms | share of a core at 100 ms |")
	fmt.Println("|---|---|---|---|---|")
	for _, size := range sizes {
		handler, move := gateway(size)
		for _, asked := range []struct{ name, accept, encoding, query string }{
			{"text", "text/plain;version=0.0.4", "identity", ""},
			{"text, gzip", "text/plain;version=0.0.4", "gzip", ""},
			{"protobuf", protobuf, "identity", ""},
			{"three families by name[]", "text/plain;version=0.0.4", "identity",
				"?name[]=queue_size&name[]=running_requests&name[]=pool_saturation"},
		} {
			request := httptest.NewRequest(http.MethodGet, "/metrics"+asked.query, nil)
			request.Header.Set("Accept", asked.accept)
			request.Header.Set("Accept-Encoding", asked.encoding)
			bytes, cpu := cost(handler, request, move)
			ms := float64(cpu.Microseconds()) / 1000
			fmt.Printf("| %d | %s | %d | %.2f | %.1f%% |\n", size, asked.name, bytes/1000, ms, ms)
		}
	}
}

// A handler of about so many series, and what moves a tenth of them.
func gateway(series int) (http.Handler, func()) {
	registry := prometheus.NewPedanticRegistry()
	labels := []string{"model_name", "target_model_name"}
	queue := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "queue_size", Help: "Requests that wait."}, labels)
	running := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "running_requests", Help: "Requests that are served."}, labels)
	total := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "requests_total", Help: "Requests."}, labels)
	saturation := prometheus.NewGauge(prometheus.GaugeOpts{Name: "pool_saturation", Help: "How full the pool is."})
	duration := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "request_duration_seconds", Help: "How long requests take.",
		Buckets: prometheus.ExponentialBuckets(0.001, 2, 12),
	}, labels)
	registry.MustRegister(queue, running, total, saturation, duration)
	// Each histogram is 13 buckets, a sum and a count: 15 series, beside three others.
	models := max(series/18, 1)
	move := func(from, step int) {
		for at := from; at < models; at += step {
			model := fmt.Sprintf("model-%d", at)
			queue.WithLabelValues(model, model).Add(1)
			running.WithLabelValues(model, model).Add(1)
			total.WithLabelValues(model, model).Inc()
			duration.WithLabelValues(model, model).Observe(float64(at%100) / 100)
		}
	}
	move(0, 1)
	turn := 0
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), func() {
		turn = (turn + 1) % 10
		move(turn, 10)
	}
}

// Bytes of a page, and the CPU of writing it.
func cost(handler http.Handler, request *http.Request, move func()) (int, time.Duration) {
	var spent time.Duration
	bytes, scrapes := 0, 0
	for spent < measured {
		move()
		before := cpu()
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, request)
		body, _ := io.ReadAll(recorder.Result().Body)
		spent += cpu() - before
		bytes = len(body)
		scrapes++
	}
	return bytes, spent / time.Duration(scrapes)
}

// User and system time of the process, garbage collection included.
func cpu() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
