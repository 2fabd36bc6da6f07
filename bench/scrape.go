package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// scrapeTimeout bounds one GET /metrics.
const scrapeTimeout = 10 * time.Second

// metrics are gauges and counters by name. With the label stream alone, the name is
// name{stream}. Metrics with other labels are left out.
type metrics map[string]float64

// scrape reads GET /metrics of a gateway.
func scrape(ctx context.Context, url string) (metrics, error) {
	ctx, cancel := context.WithTimeout(ctx, scrapeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/metrics", nil)
	if err != nil {
		return nil, fmt.Errorf("failed to read the metrics: %w", err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("failed to read the metrics: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("failed to read the metrics: the server answers %s", resp.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("failed to read the metrics: %w", err)
	}
	all := make(metrics)
	for name, family := range families {
		for _, m := range family.GetMetric() {
			key := name
			switch labels := m.GetLabel(); {
			case len(labels) == 1 && labels[0].GetName() == "stream":
				key = name + "{" + labels[0].GetValue() + "}"
			case len(labels) > 0:
				continue
			}
			switch {
			case m.GetGauge() != nil:
				all[key] = m.GetGauge().GetValue()
			case m.GetCounter() != nil:
				all[key] = m.GetCounter().GetValue()
			}
		}
	}
	return all, nil
}

// scrapeAll reads the metrics of all gateways. It returns those that answered, and an
// error for the others.
func (s *Server) scrapeAll(ctx context.Context) ([]metrics, error) {
	var list []metrics
	var failed []error
	for _, url := range s.URLs {
		m, err := scrape(ctx, url)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		list = append(list, m)
	}
	return list, errors.Join(failed...)
}
