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

// Int64s scans a column of bigint[] without nulls, of one dimension. A batch's
// answer has thousands of numbers, so they are read without a detour over texts.
type Int64s []int64

// Scan reads the text form, {1,-2,3}; NULL is an empty list.
func (a *Int64s) Scan(src any) error {
	*a = (*a)[:0]
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
