package gateway

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"roost/schemas"
)

// metrics are those of one gateway. They count every drop and refusal.
type metrics struct {
	opened, delivered, accepted, acknowledged, retries, unavailable prometheus.Counter
	frames, errors, closed, refused, typingDropped                  *prometheus.CounterVec
	tokensRefused                                                   *prometheus.CounterVec
	heartbeats                                                      prometheus.Counter // of frames
	readsWritten, wakeUps                                           prometheus.Counter
	deactivated, copiesSkipped                                      prometheus.Counter // because inboxes are full
	originsRefused, abandoned                                       prometheus.Counter
	channelPages                                                    *prometheus.CounterVec
	acceptSeconds                                                   prometheus.Histogram
	watched                                                         prometheus.Gauge
}

// entries are the counters of the consumers of this gateway.
type entries interface {
	Unreadable() int64
	Late() int64
}

// removal is the state of the removal of acknowledged entries.
type removal interface {
	Unremoved() int64
	HeldBack() (here bool, others []string)
}

func newMetrics(r prometheus.Registerer, s *Server, consumers entries, removal removal) *metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "roost_gateway_" + name, Help: help})
		r.MustRegister(c)
		return c
	}
	vector := func(name, help, label string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "roost_gateway_" + name, Help: help}, []string{label})
		r.MustRegister(c)
		return c
	}
	m := &metrics{
		opened:         counter("connections_opened_total", "WebSockets accepted."),
		delivered:      counter("messages_delivered_total", "Inbox entries sent to devices, including redelivered ones."),
		accepted:       counter("messages_accepted_total", "Sends that were answered with message_received."),
		acknowledged:   counter("messages_acknowledged_total", "Inbox entries that devices acknowledged."),
		retries:        counter("sends_repeated_total", "Sends that were on record already."),
		unavailable:    counter("sends_unavailable_total", "Sends that were not stored in time."),
		readsWritten:   counter("reads_written_total", "Watermarks written for message_read; a burst is one."),
		wakeUps:        counter("wake_ups_total", "Frames that told a device that a channel has new messages."),
		deactivated:    counter("devices_deactivated_total", "Devices that were removed because their inbox was full and nobody used them."),
		copiesSkipped:  counter("copies_skipped_total", "Copies of messages to groups for users without a device whose inbox is full."),
		originsRefused: counter("origins_refused_total", "Requests of web pages whose origin is not allowed."),
		abandoned:      counter("requests_abandoned_total", "HTTP requests whose client went away before the answer."),
		channelPages:   vector("channel_pages_total", "Pages of channels, by where they came from.", "from"),
		frames:         vector("frames_total", "Frames of clients, by type.", "type"),
		errors:         vector("errors_total", "Errors told to clients, by code.", "code"),
		closed:         vector("connections_closed_total", "WebSockets that ended, by close code or cause.", "reason"),
		refused:        vector("connections_refused_total", "Upgrades that failed, by cause.", "reason"),
		typingDropped:  vector("typing_dropped_total", "Typing notices that were dropped, by cause.", "reason"),
		tokensRefused:  vector("tokens_refused_total", "Tokens that were refused, by reason.", "reason"),
		acceptSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "roost_gateway_accept_seconds", Help: "Time from send_message to message_received.",
			Buckets: prometheus.ExponentialBuckets(0.0002, 2, 16),
		}),
	}
	m.heartbeats = m.frames.WithLabelValues(string(schemas.TypeHeartbeat))
	m.watched = prometheus.NewGauge(prometheus.GaugeOpts{Name: "roost_gateway_presence_watched", Help: "Users whose presence connections watch."})
	r.MustRegister(m.acceptSeconds, m.watched,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "roost_gateway_connections", Help: "Open WebSockets."},
			func() float64 { return float64(s.conns.count()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "roost_gateway_entries_not_removed",
			Help: "Inbox entries that connected devices have acknowledged and that the streams still hold."},
			func() float64 { return float64(removal.Unremoved()) }),
		&heldBack{removal.HeldBack, s.opts.Name, prometheus.NewDesc("roost_gateway_senders_held_back",
			"Whether senders at this gateway wait for removal of acknowledged entries, by the gateway that is behind.", []string{"by"}, nil)},
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "roost_gateway_entries_unreadable_total",
			Help: "Inbox entries that could not be read and were removed."},
			func() float64 { return float64(consumers.Unreadable()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "roost_gateway_entries_late_total",
			Help: "Inbox entries that were found in the stream and not heard of live."},
			func() float64 { return float64(consumers.Late()) }))
	if a := s.opts.Accounts; a != nil {
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "roost_gateway_passwords_refused_total",
			Help: "Log-ins, new accounts and deletions refused because too many passwords waited to be checked."},
			func() float64 { return float64(a.Refused()) }))
	}
	return m
}

// heldBack is a collector that names the gateways for which the senders of this one wait.
type heldBack struct {
	read func() (here bool, others []string)
	self string
	desc *prometheus.Desc
}

// Describe implements [prometheus.Collector].
func (h *heldBack) Describe(ch chan<- *prometheus.Desc) { ch <- h.desc }

// Collect implements [prometheus.Collector]. The series of this gateway is always there.
func (h *heldBack) Collect(ch chan<- prometheus.Metric) {
	here, others := h.read()
	held := 0.0
	if here {
		held = 1
	}
	ch <- prometheus.MustNewConstMetric(h.desc, prometheus.GaugeValue, held, h.self)
	for _, gateway := range others {
		ch <- prometheus.MustNewConstMetric(h.desc, prometheus.GaugeValue, 1, gateway)
	}
}

func closeLabel(code schemas.CloseCode) string { return strconv.Itoa(int(code)) }
