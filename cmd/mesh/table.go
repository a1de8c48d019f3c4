package main

import (
	"strings"
	"unicode/utf8"
)

// cell is a text in a table and how it is painted in a terminal.
type cell struct{ text, colour string }

// grid is a table whose cells may be painted: it pads before it paints, because
// colours have no width.
type grid struct {
	rows  [][]cell
	right func(column int) bool // columns that are aligned to the right; nil for none
}

func (g *grid) add(cells ...cell) { g.rows = append(g.rows, cells) }

// header adds a line of titles.
func (g *grid) header(titles ...string) {
	row := make([]cell, len(titles))
	for i, title := range titles {
		row[i] = cell{title, dimmed}
	}
	g.rows = append(g.rows, row)
}

// lines lays the table out; indent stands before each line.
func (g *grid) lines(c *cli, indent string) []string {
	var widths []int
	for _, row := range g.rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell.text))
		}
	}
	lines := make([]string, len(g.rows))
	for i, row := range g.rows {
		last := len(row) - 1
		for last >= 0 && row[last].text == "" {
			last--
		}
		var b strings.Builder
		b.WriteString(indent)
		for j, cell := range row[:last+1] {
			pad := strings.Repeat(" ", widths[j]-utf8.RuneCountInString(cell.text))
			if g.right != nil && g.right(j) {
				b.WriteString(pad)
				pad = ""
			}
			b.WriteString(c.paint(cell.colour, cell.text))
			if j < last {
				b.WriteString(pad + "  ")
			}
		}
		lines[i] = b.String()
	}
	return lines
}
