import { check } from 'k6';
import http from 'k6/http';

export const options = {
  vus: 2,
  iterations: 20,
  thresholds: { checks: ['rate==1'], http_req_duration: ['p(95)<1000'] },
};

export default function () {
  const answer = http.get(`${__ENV.BASE_URL}/orders/7`);
  check(answer, { 'an order is found': (r) => r.status === 200 });
}
