package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"tuma/sms/outbox"
)

// gauge describes one line of the metrics that is asked for when somebody looks.
func gauge(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var (
	waitingEntries = gauge("tuma_book_waiting_entries", "Callers that wait for the book.")
	roomOfQueue    = gauge("tuma_book_queue_room", "Callers that may wait for it; beyond, they are told busy.")
	busyTotal      = gauge("tuma_book_busy_total", "Callers that were told busy.")
	connections    = gauge("tuma_db_connections", "Connections to PostgreSQL, by pool and use.", "pool", "state")
	connectionWait = gauge("tuma_db_wait_seconds_total", "Time spent waiting for a connection.", "pool")
	relayTotal     = gauge("tuma_sms_relay_total", "What this process's relay has done.", "what")
	relayInFlight  = gauge("tuma_sms_in_flight", "Notices on their way to a gateway.")
	gatewayTotal   = gauge("tuma_sms_gateway_total", "What became of tries at a gateway, by this process.", "gateway", "what")
	gatewayPaused  = gauge("tuma_sms_gateway_paused", "1 while a gateway counts as dead, or rests because it asked for that.", "gateway")
	outboxLots     = gauge("tuma_outbox_lots", "Commits whose notices are not unpacked yet.")
	outboxWaiting  = gauge("tuma_outbox_waiting", "Notices not sent yet, by priority.", "priority")
	outboxAge      = gauge("tuma_outbox_oldest_seconds", "Age of the oldest notice that waits.")
	tillsOf        = gauge("tuma_tills", "Tills, by class: stopped, empty, low, ready.", "class")
	floatOf        = gauge("tuma_till_float_minor", "Float of the tills of a class, in minor units.", "class")
	alertsWaiting  = gauge("tuma_brake_alerts_waiting", "What brakes have noticed within a week and nobody has looked at.")
	alertsAge      = gauge("tuma_brake_alerts_oldest_seconds", "Age of the oldest of these.")
	emoney         = gauge("tuma_emoney_minor", "E-money in circulation: what the bank must hold, in minor units.")
	stepsNow       = gauge("tuma_ussd_steps", "USSD steps of this process: being answered (busy), of sessions that wait for their turn (waiting), that can be answered at a time (room).", "state")
	clockOff       = gauge("tuma_clock_off_seconds", "How far this process's own clock is from PostgreSQL's, which counts.")
	reachable      = gauge("tuma_up", "Whether what the service needs could be asked.", "what")
)

// watch adds what the service is asked for at each look.
func (m *metrics) watch(s *service) error { return m.registry.Register(standing{s}) }

// standing asks the service where it stands. What cannot be asked is left out,
// and tuma_up says so.
type standing struct{ s *service }

func (st standing) Describe(d chan<- *prometheus.Desc) { prometheus.DescribeByCollect(st, d) }

func (st standing) Collect(out chan<- prometheus.Metric) {
	s := st.s
	put := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	up := func(what string, err error) bool {
		value := 1.0
		if err != nil {
			value = 0
			s.log.Warn("metrics: cannot ask", "what", what, "error", err)
		}
		put(reachable, value, what)
		return err == nil
	}
	ctx, cancel := gathering()
	defer cancel()

	waiting, room, busy := s.accounts.Book().Queue()
	put(waitingEntries, float64(waiting))
	put(roomOfQueue, float64(room))
	count(busyTotal, float64(busy))
	for name, stats := range s.pool.Stats() {
		put(connections, float64(stats.InUse), name, "in_use")
		put(connections, float64(stats.Idle), name, "idle")
		count(connectionWait, stats.WaitDuration.Seconds(), name)
	}
	if s.machine != nil {
		busy, waiting, steps := s.machine.Room()
		for state, n := range map[string]int{"busy": busy, "waiting": waiting, "room": steps} {
			put(stepsNow, float64(n), state)
		}
	}
	put(clockOff, s.pool.Off().Seconds())
	if s.relay != nil {
		r := s.relay.Stats()
		for what, n := range map[string]int64{
			"sent": r.Sent, "retried": r.Retried, "failed": r.Failed, "expired": r.Expired, "doubtful": r.Doubtful, "lost": r.Lost, "pauses": r.Pauses, "db_errors": r.DBErrors,
			"failovers": r.Failovers, "opted_out": r.OptedOut, "yielded": r.Yielded,
		} {
			count(relayTotal, float64(n), what)
		}
		put(relayInFlight, float64(r.InFlight))
		for _, g := range s.relay.Gateways() {
			for what, n := range map[string]int64{"sent": g.Sent, "retried": g.Retried, "refused": g.Failed, "doubtful": g.Doubtful, "pauses": g.Pauses} {
				count(gatewayTotal, float64(n), g.Name, what)
			}
			paused := 0.0
			if g.Paused {
				paused = 1
			}
			put(gatewayPaused, paused, g.Name)
		}
	}
	if s.redis != nil {
		up("redis", s.redis.Ping(ctx).Err())
	}
	owed, err := outbox.Stand(ctx, s.pool)
	if up("outbox", err) {
		put(outboxLots, float64(owed.Lots))
		for i, name := range [...]string{"code", "receipt", "rest"} {
			put(outboxWaiting, float64(owed.Waiting[i]), name)
		}
		age := 0.0
		if owed.Oldest != nil {
			age = max(0, s.pool.Now().Sub(*owed.Oldest).Seconds())
		}
		put(outboxAge, age)
	}
	tills, err := s.agents.TillClasses(ctx)
	if up("tills", err) {
		for _, t := range tills {
			put(tillsOf, float64(t.Tills), string(t.Class))
			put(floatOf, float64(t.Float), string(t.Class))
		}
	}
	alerts, oldest, err := s.accounts.BrakesWaiting(ctx)
	if up("brakes", err) {
		age := 0.0
		if alerts > 0 {
			age = max(0, s.pool.Now().Sub(oldest).Seconds())
		}
		put(alertsWaiting, float64(alerts))
		put(alertsAge, age)
	}
	trust, err := s.accounts.Book().Account(ctx, s.accounts.House().Trust)
	if up("book", err) {
		put(emoney, -float64(trust.Balance))
	}
}
