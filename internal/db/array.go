package db

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/lib/pq/oid"
)

// Array passes a Go slice to a query as bigint[], text[], boolean[] or bytea[],
// for unnest, = any and columns of these very types. It is Postgres' binary
// form of an array: a text would be quoted here and taken apart by the server,
// element by element. An empty slice and nil are an empty array.
//
// The form: dimensions, whether there are nulls, the elements' type; for the one
// dimension its length and first index; for each element its length and bytes,
// all numbers big-endian (src/backend/utils/adt/arrayfuncs.c, array_recv).
func Array[T int64 | string | bool | []byte](slice []T) []byte {
	b := make([]byte, 0, 20+12*len(slice))
	element := func(n int) { b = binary.BigEndian.AppendUint32(b, uint32(n)) }
	head := func(of oid.Oid) {
		dimensions := 1
		if len(slice) == 0 {
			dimensions = 0
		}
		b = binary.BigEndian.AppendUint32(b, uint32(dimensions))
		b = binary.BigEndian.AppendUint32(b, 0)
		b = binary.BigEndian.AppendUint32(b, uint32(of))
		if dimensions == 1 {
			b = binary.BigEndian.AppendUint32(b, uint32(len(slice)))
			b = binary.BigEndian.AppendUint32(b, 1)
		}
	}
	switch s := any(slice).(type) {
	case []int64:
		head(oid.T_int8)
		for _, v := range s {
			element(8)
			b = binary.BigEndian.AppendUint64(b, uint64(v))
		}
	case []string:
		head(oid.T_text)
		for _, v := range s {
			element(len(v))
			b = append(b, v...)
		}
	case []bool:
		head(oid.T_bool)
		for _, v := range s {
			element(1)
			if v {
				b = append(b, 1)
			} else {
				b = append(b, 0)
			}
		}
	case [][]byte:
		head(oid.T_bytea)
		for _, v := range s {
			element(len(v))
			b = append(b, v...)
		}
	}
	return b
}

// Int64s scans a column of bigint[] without nulls, of one dimension; or what
// array_send makes of one, which costs neither side a text for each number.
type Int64s []int64

// Scan reads the text form, {1,-2,3}, or the binary one; NULL is an empty list.
func (a *Int64s) Scan(src any) error {
	*a = (*a)[:0]
	if b, ok := src.([]byte); ok && len(b) > 0 && b[0] == 0 {
		return a.scanBinary(b)
	}
	var text []byte
	switch s := src.(type) {
	case nil:
		return nil
	case []byte:
		text = s
	case string:
		text = []byte(s)
	default:
		return fmt.Errorf("db: %T is no array of numbers", src)
	}
	if len(text) < 2 || text[0] != '{' || text[len(text)-1] != '}' {
		return fmt.Errorf("db: %.20q is no array of numbers", text)
	}
	text = text[1 : len(text)-1]
	for len(text) > 0 {
		number, rest, more := bytes.Cut(text, []byte{','})
		n, err := strconv.ParseInt(string(number), 10, 64)
		if err != nil || more && len(rest) == 0 {
			return fmt.Errorf("db: %.20q in an array of numbers", number)
		}
		*a = append(*a, n)
		text = rest
	}
	return nil
}

// scanBinary reads the form that Array writes.
func (a *Int64s) scanBinary(b []byte) error {
	const head, each = 20, 12
	if len(b) == head-8 && binary.BigEndian.Uint32(b) == 0 {
		return nil // no dimension: empty
	}
	if len(b) < head || binary.BigEndian.Uint32(b) != 1 || binary.BigEndian.Uint32(b[4:]) != 0 || binary.BigEndian.Uint32(b[8:]) != uint32(oid.T_int8) ||
		len(b) != head+each*int(binary.BigEndian.Uint32(b[12:])) {
		return fmt.Errorf("db: %.20x is no array of numbers", b)
	}
	for b = b[head:]; len(b) > 0; b = b[each:] {
		if binary.BigEndian.Uint32(b) != 8 {
			return fmt.Errorf("db: %.12x in an array of numbers", b)
		}
		*a = append(*a, int64(binary.BigEndian.Uint64(b[4:])))
	}
	return nil
}
