package report

import (
	"errors"
	"io"
)

// WriteHTML writes the report as one page that needs nothing but itself.
func (r *Report) WriteHTML(w io.Writer) error { return errors.ErrUnsupported }
