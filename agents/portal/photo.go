package portal

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"net/http"
	"os"
)

// Bounds of a photo that is taken: in bytes, and in pixels once it is unpacked.
const (
	maxPhoto  = 2 << 20
	minSide   = 200
	maxPixels = 16_000_000
	quality   = 80
)

var errPhoto = errors.New("portal: not a photo that is taken here")

// photoOf reads a JPEG or PNG and writes it anew as JPEG: what is kept was made
// here, without whatever else the file held (where it was taken, a program).
func photoOf(r io.Reader) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxPhoto+1))
	if err != nil {
		return nil, fmt.Errorf("portal: reading a photo: %w", err)
	}
	if len(raw) > maxPhoto {
		return nil, errPhoto
	}
	config, decode := jpeg.DecodeConfig, jpeg.Decode
	switch http.DetectContentType(raw) {
	case "image/jpeg":
	case "image/png":
		config, decode = png.DecodeConfig, png.Decode
	default:
		return nil, errPhoto
	}
	size, err := config(bytes.NewReader(raw))
	if err != nil || size.Width < minSide || size.Height < minSide || size.Width > maxPixels/size.Height {
		return nil, errPhoto
	}
	var picture image.Image
	if picture, err = decode(bytes.NewReader(raw)); err != nil {
		return nil, errPhoto
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, picture, &jpeg.Options{Quality: quality}); err != nil {
		return nil, fmt.Errorf("portal: writing a photo: %w", err)
	}
	return b.Bytes(), nil
}

// keep writes a photo under a name that nobody can guess, on the disk before it
// is said to be there.
func (p *portal) keep(photo []byte) (name string, err error) {
	if name, err = p.token(); err != nil {
		return "", err
	}
	name += ".jpg"
	root, err := os.OpenRoot(p.Photos)
	if err != nil {
		return "", fmt.Errorf("portal: folder of ID photos: %w", err)
	}
	defer root.Close()
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", fmt.Errorf("portal: a photo: %w", err)
	}
	_, err = f.Write(photo)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", errors.Join(fmt.Errorf("portal: a photo: %w", err), root.Remove(name))
	}
	return name, nil
}

// drop removes a photo that no row names.
func (p *portal) drop(name string) error {
	root, err := os.OpenRoot(p.Photos)
	if err != nil {
		return err
	}
	return errors.Join(root.Remove(name), root.Close())
}
