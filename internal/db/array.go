package db

import (
	"encoding/binary"

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
