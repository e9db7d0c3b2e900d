module example.com/controller

go 1.26.0

require github.com/sluicenet/sluice v0.0.0

require golang.org/x/sys v0.49.0 // indirect

replace github.com/sluicenet/sluice => ../..
