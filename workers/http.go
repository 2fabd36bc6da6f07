package workers

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"roost/schemas"
	"roost/streams"
)

// Handler serves a worker's GET /healthz, /readyz and /metrics.
func Handler(registry *prometheus.Registry, conn *streams.Conn, store Store) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, schemas.Answer{Status: schemas.StatusSuccess})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ready := schemas.Readiness{Ready: true, Missing: map[string]string{}}
		if err := conn.Ready(); err != nil {
			ready.Missing["nats"] = err.Error()
		}
		if err := store.Ping(r.Context()); err != nil {
			ready.Missing["history"] = err.Error()
		}
		status, body := http.StatusOK, schemas.Answer{Status: schemas.StatusSuccess}
		if ready.Ready = len(ready.Missing) == 0; !ready.Ready {
			status, body.Status = http.StatusServiceUnavailable, schemas.StatusFailed
			body.Error = &schemas.AnswerError{Code: schemas.CodeUnavailable, Message: "This worker is not ready. See data.missing for the reasons."}
		}
		body.Data = schemas.Encode(ready)
		answer(w, status, body)
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return mux
}

func answer(w http.ResponseWriter, status int, body schemas.Answer) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(schemas.Encode(body)) // it fails if the client closed the connection
}
