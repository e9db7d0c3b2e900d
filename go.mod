module github.com/sluicenet/sluice

go 1.26
