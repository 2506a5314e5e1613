package ledger

import "context"

// Settled finds an entry by its Ref as ByRef does, but first waits until no try of
// it is under way, in any process. So whoever refuses an entry before it comes to
// the book, for reasons of his own, knows that no earlier try of it lands
// afterwards: the book confirms its own refusals in the same way. ErrNotFound when
// the entry does not stand.
func (b *Book) Settled(ctx context.Context, ref string) (Receipt, error) {
	known, err := b.settled(ctx, []string{ref})
	if err != nil {
		return Receipt{}, err
	}
	first, stands := known[ref]
	if !stands {
		return Receipt{}, ErrNotFound
	}
	return first.Receipt, nil
}
