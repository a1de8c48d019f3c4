package flow_test

func childMain() {}
