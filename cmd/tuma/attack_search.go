package main

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// search looks for everybody's PINs, and for what went wrong, in all that the
// service has kept: its logs, the database, Redis, its memory.
func (a *attack) search(ctx context.Context) error {
	if err := a.usePINs(ctx); err != nil {
		return err
	}
	if a.Plant {
		f, err := os.OpenFile(filepath.Join(a.dir, a.site.instances[0].name+".log"), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		fmt.Fprintf(f, "level=ERROR msg=form text=4%%2A1%%2A%s\npanic: planted\n", a.pins[0])
		f.Close()
	}
	logs, err := a.logs()
	if err != nil {
		return err
	}
	for line := range strings.Lines(logs) {
		a.see("the log", line)
		a.line(line)
	}
	if err := a.searchDatabase(ctx); err != nil {
		return err
	}
	if err := a.searchRedis(ctx); err != nil {
		return err
	}
	p, err := proof(ctx, a.pool)
	if err != nil {
		return err
	}
	for _, b := range p.Breaks {
		a.result.found("audit", "%s: %s", b.Check, b.What)
	}
	return a.searchMemory(ctx)
}

// late are errors of a machine that has too much to do, which is what an attack
// makes of it: the customer was asked to try again.
var late = regexp.MustCompile(`i/o timeout|context deadline exceeded|context canceled|connection pool timeout|pool timeout|broken pipe|connection reset`)

// line judges one of a log: a panic never is, and an error only for lack of time.
func (a *attack) line(line string) {
	switch {
	case strings.Contains(line, "panic") || strings.HasPrefix(line, "goroutine "):
		a.result.found("panic", "%.400s", line)
	case strings.Contains(line, "level=ERROR") && !late.MatchString(line):
		a.result.found("error in the log", "%.400s", line)
	}
}

// What looks like a PIN and is none: times, and digits among letters and digits.
// So that the thousandth session of an attacker is not taken for one, the names of
// sessions have a letter before their number.
var clockTime = regexp.MustCompile(`\d\d:\d\d:\d\d(\.\d+)?`)

// see looks for the PINs in one text, as it is and decoded.
func (a *attack) see(where, text string) {
	for _, form := range decodings(text) {
		form = clockTime.ReplaceAllString(form, "")
		for _, pin := range a.pins {
			if stands(form, pin) {
				a.result.found("a PIN is kept", "%s in %s: %.300q", pin, where, text)
			}
		}
	}
}

func decodings(text string) []string {
	all := []string{text}
	if plain, err := url.QueryUnescape(text); err == nil && plain != text {
		all = append(all, plain)
	}
	return all
}

// stands tells whether digits are in a text by themselves: not as part of a
// number, an amount or a name.
func stands(text, pin string) bool {
	part := func(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
	for at := 0; ; {
		i := strings.Index(text[at:], pin)
		if i < 0 {
			return false
		}
		i += at
		end := i + len(pin)
		before := i > 0 && (part(text[i-1]) || text[i-1] == '.' || text[i-1] == ',')
		after := end < len(text) && (part(text[end]) || text[end] == '.' && end+1 < len(text) && part(text[end+1]))
		if !before && !after {
			return true
		}
		at = end
	}
}

const sqlTextColumns = `
select format('select coalesce(%2$s, '''') from %1$I', c.relname, case when t.typname = 'bytea' then format('encode(%I, ''escape'')', a.attname) else format('%I::text', a.attname) end)
from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid join pg_type t on t.oid = a.atttypid
where n.nspname = 'public' and c.relkind in ('r', 'p') and not c.relispartition and a.attnum > 0 and not a.attisdropped and t.typname in ('text', 'bytea', 'jsonb', 'json', 'varchar', '_text', 'name')
order by 1`

// searchDatabase reads every column that can hold text.
func (a *attack) searchDatabase(ctx context.Context) error {
	var queries []string
	if err := a.pool.Select(ctx, &queries, sqlTextColumns); err != nil {
		return err
	}
	if len(queries) < 50 {
		return fmt.Errorf("only %d columns can be searched", len(queries))
	}
	for _, q := range queries {
		var values []string
		if err := a.pool.Select(ctx, &values, q); err != nil {
			return fmt.Errorf("%s: %w", q, err)
		}
		for _, v := range values {
			a.see("the database, "+q, v)
		}
	}
	return nil
}

// searchRedis reads every key and value as Redis would write them to a disk.
func (a *attack) searchRedis(ctx context.Context) error {
	keys := a.redis.Scan(ctx, 0, "", 1000).Iterator()
	for keys.Next(ctx) {
		a.see("a key of Redis", keys.Val())
		kind, err := a.redis.Type(ctx, keys.Val()).Result()
		if err != nil {
			return err
		}
		var v any
		switch kind {
		case "string":
			v, err = a.redis.Get(ctx, keys.Val()).Result()
		case "hash":
			v, err = a.redis.HGetAll(ctx, keys.Val()).Result()
		case "list":
			v, err = a.redis.LRange(ctx, keys.Val(), 0, -1).Result()
		case "zset":
			v, err = a.redis.ZRange(ctx, keys.Val(), 0, -1).Result()
		case "set":
			v, err = a.redis.SMembers(ctx, keys.Val()).Result()
		}
		if err != nil && kind != "none" {
			return err
		}
		if err == nil {
			a.see("Redis, "+keys.Val(), fmt.Sprint(v))
		}
	}
	return keys.Err()
}

// usePINs does everything with a PIN that somebody does: the search must have
// something to find.
func (a *attack) usePINs(ctx context.Context) error {
	return a.many(ctx, "uses of PINs", 4*len(a.attackers), func(ctx context.Context, w *attacker) error {
		pin := w.pins[w.n%3]
		for _, text := range []string{"4*1", "4*2", "1*0712000002*10"} {
			w.serial++
			session := fmt.Sprintf("use-%d-n%d", w.n, w.serial)
			w.ussd(w.serial%2 == 0, session, w.customer, text).send(ctx)
			w.judge(w.ussd(w.serial%3 == 0, session, w.customer, text+"*"+pin).send(ctx))
		}
		return nil
	})
}

// inMemory are the forms in which a PIN comes over the wire.
func inMemory(pin string) [][]byte {
	return [][]byte{[]byte("4%2A1%2A" + pin), []byte("4*1*" + pin), []byte("10%2A" + pin), []byte("10*" + pin), []byte("pin=" + pin)}
}

// searchMemory counts PINs in the processes' memory, as a core dump would have
// them: just after they were used, and after other requests have used the same
// buffers. This is told, and no fault: a program that checks a PIN has had it.
func (a *attack) searchMemory(ctx context.Context) error {
	a.result.Memory = map[string]int{}
	count := func(when string) error {
		for _, t := range a.site.instances {
			n, err := t.inMemory(a.pins)
			if err != nil {
				return err
			}
			a.result.Memory[when] += n
		}
		return nil
	}
	if err := a.usePINs(ctx); err != nil {
		return err
	}
	if err := count("at once"); err != nil {
		return err
	}
	if err := a.many(ctx, "harmless requests", 200*len(a.attackers), func(ctx context.Context, w *attacker) error {
		w.serial++
		w.ussd(w.serial%2 == 0, fmt.Sprintf("calm-%d-n%d", w.n, w.serial), w.customer, "").send(ctx)
		return nil
	}); err != nil {
		return err
	}
	return count("after other requests")
}

// inMemory counts PINs in what the process may read and write.
func (t *instance) inMemory(pins []string) (n int, err error) {
	t.mu.Lock()
	if t.cmd == nil {
		t.mu.Unlock()
		return 0, fmt.Errorf("%s does not run", t.name)
	}
	pid := t.cmd.Process.Pid
	t.mu.Unlock()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return 0, err
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return 0, err
	}
	defer mem.Close()
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		var rights string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &rights); err != nil || !strings.HasPrefix(rights, "rw") {
			continue
		}
		for ; from < to; from += 1 << 20 {
			b := make([]byte, min(1<<20, to-from))
			k, _ := mem.ReadAt(b, from) // pages that are not there cannot be read
			for _, pin := range pins {
				for _, form := range inMemory(pin) {
					n += bytes.Count(b[:k], form)
				}
			}
		}
	}
	return n, nil
}
