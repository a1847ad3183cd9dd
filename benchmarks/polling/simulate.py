"""A simulated session."""
from __future__ import annotations
import heapq, random

class Run:
    __slots__ = ("costs", "looks", "delays")
    def __init__(self, n): self.costs=[0.0]*n; self.looks=[0]*n; self.delays=[0.0]*n

def simulate(tasks, next_look, ended, running=None, *, in_flight=32, poll_cost=.25, seed=0, recheck=False):
    """tasks: list of (duration, estimate)."""
    rng = random.Random(seed)
    n=len(tasks); run=Run(n); heap=[]; k=0; seq=0
    def submit(now):
        nonlocal k
        i=k; k+=1
        T,e=tasks[i]
        j=rng.random()
        due=next_look(i,e,0.0,j)
        heapq.heappush(heap,(now+due,i,now,0.0,j))
    for _ in range(min(in_flight,n)): submit(0.0)
    while heap:
        now,i,start,since,j=heapq.heappop(heap)
        T,e=tasks[i]
        age=now-start
        if recheck:
            again=next_look(i,e,since,j)
            if again>age+0.05:
                heapq.heappush(heap,(start+again,i,start,since,j)); continue
        run.looks[i]+=1
        if age>=T:
            run.delays[i]=age-T
            run.costs[i]=age-T+poll_cost*run.looks[i]
            ended(i,e,since,age)
            if k<n: submit(now)
        else:
            if running: running(i,e,since,age)
            j=rng.random()
            due=next_look(i,e,age,j)
            heapq.heappush(heap,(start+due,i,start,age,j))
    return run
